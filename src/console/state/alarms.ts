import { formatSize } from '../../lib/sizes.ts';
import type { Model } from './model.ts';

/** Below this part of the store's file system somebody should do something. */
const LOW_PART = 0.1;

/** What needs somebody; nothing is said of what is not known. */
export function alarmsOf({ facts, sessions, damagedSessions, latest, standing }: Model): string[] {
  const open = standing.kind === 'known' ? standing.value : [];
  const found = open
    .filter(({ acknowledged }) => acknowledged === null)
    .map(({ level, message }) => (level === 'critical' ? `CRITICAL: ${message}` : message));
  // A service that watches over itself has said so itself.
  const isWatched = standing.kind === 'known';
  if (facts.kind === 'known') {
    const { storeId, space } = facts.value;
    if (storeId === null) found.push('There is no store: nothing can be backed up or recovered.');
    if (!isWatched && space && space.freeBytes < LOW_PART * space.totalBytes) {
      found.push(`The store's disk is almost full: ${formatSize(space.freeBytes)} are left.`);
    }
  }
  if (!isWatched && sessions.kind === 'known') {
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
