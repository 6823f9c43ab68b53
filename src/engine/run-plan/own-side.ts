import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { CapacityRecord } from '../../formats/store/service/capacity.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import { formatSize, MiB } from '../../lib/sizes.ts';
import { sessionSpace } from '../../sessions/state/session-space.ts';
import type { Store } from '../../store/directory/store.ts';

/*
 * What of our side prevents a run. An overlay takes only what the guest writes, so a fraction of its disks' size is
 * enough: a session that runs out of space pauses its guest and loses nothing, which is why little space is a warning.
 */

/** Segments of logs that are open, their maps, and what a guest writes until it has booted. */
const LEAST = 64 * MiB;
/** A guest that boots and applies its journals writes some hundred MiB. */
const COMFORTABLE = 1024 * MiB;

export async function ownFindings(store: Store, machines = 1): Promise<readonly Finding[]> {
  return [
    ...(store.has('placed-session') ? [] : [featureless]),
    ...spaceFindings(await sessionSpace(store, { whenFull: 'pause' }).left(), machines),
  ];
}

const featureless: Finding = {
  ...{ level: 'blocker', code: 'store-feature' },
  message: 'this store was made by a release whose sessions have no machines on hypervisors',
  remedy: 'upgrade it: "holdfast store upgrade"; then earlier releases can no longer read it',
};

export function spaceFindings(left: number, machines: number): readonly Finding[] {
  const needed = COMFORTABLE * machines;
  if (left >= needed) return [];
  const isTooLittle = left < LEAST * machines;
  return [
    {
      ...{ level: isTooLittle ? 'blocker' : 'warning', code: 'overlay-space' },
      message:
        `the store has ${formatSize(left)} left for what guests write; ${formatSize(needed)} should be free for ` +
        'them to boot: without space, writes of guests wait',
      remedy: 'make space ("holdfast store usage"), or discard sessions that are no longer needed',
    },
  ];
}

/** Before several machines start: how many this box was measured to carry at once. */
export function capacityFindings(
  machines: number,
  {
    capacity,
    sessions,
  }: {
    readonly capacity: CapacityRecord | undefined;
    readonly sessions: readonly SessionRecord[];
  },
): readonly Finding[] {
  const remedy = 'measure it: "holdfast verify measure POINT"';
  const found = { code: 'capacity' } as const;
  if (!capacity) {
    const message = 'how many machines this box carries at once was not measured';
    return [{ level: 'note', ...found, message, remedy }];
  }
  const { carries, machine, measured } = capacity;
  const before = sessions.filter(({ phase }) => PHASES_THAT_READ.has(phase)).length;
  const carried = `this box carried ${carries} of ${machine} at once (measured ${measured.slice(0, 10)})`;
  if (before + machines <= carries) return [{ level: 'note', ...found, message: carried }];
  const others = before === 0 ? '' : `, with ${before} in other sessions`;
  return [
    {
      ...{ level: 'warning', ...found },
      message: `${carried}, and ${machines} would run${others}: they may be slow`,
      remedy: 'run fewer at once, or measure again: "holdfast verify measure POINT"',
    },
  ];
}

/** Phases in which a machine may read from this box. */
const PHASES_THAT_READ: ReadonlySet<string> = new Set([
  ...['ready', 'placing', 'running', 'copying', 'pivoting', 'settling'],
]);
