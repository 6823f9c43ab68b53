import { MiB } from '../../lib/sizes.ts';
import type { Space } from '../../sys/files/file-system.ts';

/*
 * The disk of a store is one budget. Guests of sessions may write until the reserve is left, with which the service can
 * still note, publish and end what it has begun. Backups stop earlier while there are sessions: a backup can be made
 * again, a guest that cannot write stands still.
 */

const RESERVE_MAX = 512 * MiB;
/** A disk that is small as a whole is not left empty. */
const SHARE = 16;

export function sessionReserve({ totalBytes }: Space): number {
  return Math.min(RESERVE_MAX, Math.floor(totalBytes / SHARE));
}

export function backupReserve(space: Space, hasSessions: boolean): number {
  return sessionReserve(space) * (hasSessions ? 2 : 1);
}
