import { AlarmError } from '../../alarms/alarm-error.ts';
import { standingAlarms } from '../../alarms/alarm-book.ts';
import { readLockdown } from '../../alarms/lockdown.ts';
import type { House } from '../base/engine.ts';

/**
 * Before anything is deleted for good. Goes by what lies in the store, so that it holds for commands without a service
 * as well. Rejects FROZEN, LOCKED.
 */
export async function checkDeletions({ store, box }: Pick<House, 'store' | 'box'>): Promise<void> {
  const locked = 'nothing is forgotten while the lockdown is on';
  if (await readLockdown(store.files, box.directory)) {
    throw new AlarmError('LOCKED', `${locked}: see "holdfast lockdown show"`);
  }
  if (await readLockdown(store.files, store.directory)) {
    throw new AlarmError(
      'LOCKED',
      `${locked}, as ${store.directory} says: see "holdfast lockdown show". If it is off there, that is left of an ` +
        'earlier one: "holdfast lockdown on" and "off" remove it',
    );
  }
  const [jump] = await standingAlarms(store.files, store.directory, 'clock-jump');
  if (!jump) return;
  throw new AlarmError(
    'FROZEN',
    `${jump.message}: nothing is forgotten until somebody has looked: "holdfast alarm acknowledge ${jump.id}"`,
  );
}
