import { AlarmError } from '../alarms/alarm-error.ts';
import { standingAlarms } from '../alarms/alarm-book.ts';
import { readLockdown } from '../alarms/lockdown.ts';
import type { House } from './house.ts';

/**
 * Before anything is deleted for good. Goes by what lies in the store, so that it holds for commands without a service
 * as well. Rejects FROZEN, LOCKED.
 */
export async function checkDeletions({
  world,
  store,
  box,
}: Pick<House, 'world' | 'store' | 'box'>): Promise<void> {
  const places = [box.directory, store.directory];
  const found = await Promise.all(places.map((place) => readLockdown(world.files, place)));
  if (found.some((it) => it !== undefined)) {
    throw new AlarmError('LOCKED', 'nothing is forgotten while the lockdown is on');
  }
  const [jump] = await standingAlarms(world.files, store.directory, 'clock-jump');
  if (!jump) return;
  throw new AlarmError(
    'FROZEN',
    `${jump.message}: nothing is forgotten until somebody has looked: "holdfast alarm acknowledge ${jump.id}"`,
  );
}
