import { AlarmError } from '../../alarms/alarm-error.ts';
import { standingAlarms } from '../../alarms/alarm-book.ts';
import { readLockdown } from '../../alarms/lockdown.ts';
import type { Engine } from '../base/engine.ts';

/**
 * Called before anything is deleted for good. Judges by the store's contents, so that it also holds for commands
 * without a service. Rejects FROZEN, LOCKED.
 */
export async function checkDeletions({ store, box }: Pick<Engine, 'store' | 'box'>): Promise<void> {
  const locked = 'nothing is forgotten while the lockdown is on';
  if (await readLockdown(store.files, box.directory)) {
    throw new AlarmError('LOCKED', `${locked}: see "holdfast lockdown show"`);
  }
  if (await readLockdown(store.files, store.directory)) {
    throw new AlarmError(
      'LOCKED',
      `${locked}, by the record in ${store.directory}: see "holdfast lockdown show". If it is off there, this record ` +
        'is left from an earlier one: "holdfast lockdown on" and "off" remove it',
    );
  }
  const { files, directory } = store;
  const [jump] = [
    ...(await standingAlarms(files, directory, 'clock-jump')),
    // It lasts until the clock is confirmed.
    ...(await standingAlarms(files, directory, 'trusted-time')).filter((it) => !it.acknowledged),
  ];
  if (!jump) return;
  throw new AlarmError(
    'FROZEN',
    `${jump.message}. To acknowledge the alarm: "holdfast alarm acknowledge ${jump.id}"`,
  );
}
