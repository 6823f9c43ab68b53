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
  remedy: 'upgrade it: "holdfast store upgrade"; earlier releases cannot read it any longer',
};

export function spaceFindings(left: number, machines: number): readonly Finding[] {
  const needed = COMFORTABLE * machines;
  if (left >= needed) return [];
  const isTooLittle = left < LEAST * machines;
  return [
    {
      ...{ level: isTooLittle ? 'blocker' : 'warning', code: 'overlay-space' },
      message:
        `the store has ${formatSize(left)} left for what guests write, and ${formatSize(needed)} should be free ` +
        'for them to boot: a guest for whose writes there is no space is paused',
      remedy: 'make space ("holdfast store usage"), or discard sessions that are no longer needed',
    },
  ];
}
