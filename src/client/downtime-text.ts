import type { Downtime } from '../operations/nouns/placed.ts';
import { formatSize } from '../lib/sizes.ts';

/** How long a machine is off while its disks move, and what to do; nothing has happened. */
export function downtimeText(session: string, downtime: Downtime): string {
  const stop = downtime.power === 'off' ? '' : ' --stop shutdown';
  return [
    ...downtimeFacts(downtime),
    `Nothing was changed. To begin: holdfast session migrate ${session} --offline${stop} --yes`,
  ].join('\n');
}

export function downtimeFacts({ bytes, seconds, rate, measured, power }: Downtime): string[] {
  const known = measured
    ? 'measured when disks were written there last'
    : 'assumed: nothing was measured yet';
  const off =
    power === 'off'
      ? 'the machine stays off'
      : 'its guest shuts down first, and the machine is off';
  return [
    `${formatSize(bytes)} are written to the hypervisor, read back and compared.`,
    `In the meantime, ${off}: about ${spanText(seconds)}, at ${formatSize(rate)}/s (${known}).`,
  ];
}

/** In words: "40 seconds", "12 minutes". */
function spanText(seconds: number): string {
  if (seconds < 120) return `${seconds} seconds`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 120 ? `${minutes} minutes` : `${(minutes / 60).toFixed(1)} hours`;
}
