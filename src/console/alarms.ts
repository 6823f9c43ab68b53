import { formatSize } from '../lib/sizes.ts';
import type { Model } from './model.ts';
import { utc } from './words.ts';

/** Below this part of the store's file system somebody should do something. */
const LOW_PART = 0.1;

/** What needs somebody; nothing is said of what is not known. */
export function alarmsOf({ facts, sessions, damagedSessions, latest, alarms }: Model): string[] {
  const found = alarms.map(({ time, message }) => `${utc(time)} ${message}`);
  if (facts.kind === 'known') {
    const { storeId, space } = facts.value;
    if (storeId === null) found.push('There is no store: nothing can be backed up or recovered.');
    if (space && space.freeBytes < LOW_PART * space.totalBytes) {
      found.push(`The store's disk is almost full: ${formatSize(space.freeBytes)} are left.`);
    }
  }
  if (sessions.kind === 'known') {
    for (const { session, waits } of sessions.value) {
      if (waits !== null) found.push(`Session ${session} cannot go on: ${waits}`);
    }
  }
  for (const { reason } of damagedSessions) found.push(`Damaged: ${reason}`);
  if (latest.kind === 'known') {
    for (const { reason } of latest.value.damaged) found.push(`Damaged: ${reason}`);
  }
  return found;
}
