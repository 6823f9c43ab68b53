import type { Downtime } from '../operations/nouns/placed.ts';
import { duration } from '../lib/duration.ts';
import { shellWords } from '../lib/shell-words.ts';
import { formatSize } from '../lib/sizes.ts';
import type { RequestOf } from '../operations/operations.ts';

type Asked = Pick<RequestOf<'session/migrate'>, 'session' | 'pool' | 'stop' | 'start'>;

/** How long a machine is off while its disks move, and what to do; nothing has happened. */
export function downtimeText(asked: Asked, downtime: Downtime): string {
  const { session, pool, start } = asked;
  const stop = stopOf(asked, downtime);
  const words = [
    ...['holdfast', 'session', 'migrate', session, '--offline'],
    ...(pool === undefined ? [] : ['--pool', pool]),
    ...(stop === undefined ? [] : ['--stop', stop]),
    ...(start ? ['--start'] : []),
    '--yes',
  ];
  return [
    ...downtimeFacts(asked, downtime),
    `Nothing was changed. To begin: ${shellWords(words)}`,
  ].join('\n');
}

export function downtimeFacts(asked: Pick<Asked, 'stop'>, downtime: Downtime): string[] {
  const { bytes, seconds, rate, measured } = downtime;
  const known = measured
    ? 'measured when disks were written there last'
    : 'assumed: nothing was measured yet';
  const stop = stopOf(asked, downtime);
  const off =
    stop === undefined
      ? 'the machine stays off'
      : stop === 'off'
        ? 'the machine is powered off'
        : 'its guest shuts down first, and the machine is off';
  return [
    `${formatSize(bytes)} are written to the hypervisor, read back and compared.`,
    // Also what takes no time at all to write takes the calls around it.
    `In the meantime, ${off}: about ${duration(Math.max(1, seconds))}, at ${formatSize(rate)}/s (${known}).`,
    'In a pool of block devices, such as LVM, zeros are written and read back, too: that takes longer.',
  ];
}

/** Undefined: it is off already. A machine that runs moves only if it is said how it is stopped. */
function stopOf({ stop }: Pick<Asked, 'stop'>, { power }: Downtime): Asked['stop'] {
  return power === 'off' ? undefined : (stop ?? 'shutdown');
}
