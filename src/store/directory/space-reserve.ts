import { MiB } from '../../lib/sizes.ts';
import type { Space } from '../../sys/files/file-system.ts';

/*
 * The disk of a store is one budget. Guests of sessions may write until only the reserve is left, with which the
 * service can still record, publish and finish its work. Backups stop earlier while there are sessions: a backup can
 * be repeated, but a guest that cannot write stalls.
 */

const RESERVE_MAX = 512 * MiB;
/** Limits the reserve on a small disk. */
const SHARE = 16;

export function sessionReserve({ totalBytes }: Space): number {
  return Math.min(RESERVE_MAX, Math.floor(totalBytes / SHARE));
}

export function backupReserve(space: Space, hasSessions: boolean): number {
  return sessionReserve(space) * (hasSessions ? 2 : 1);
}
