import { createHash } from 'node:crypto';
import { uuidFrom } from '../../../lib/uuid.ts';
import type { SessionRecord } from './session.ts';

/** A UUID for the machine of a session, always the same, and not that of its original. */
export function sessionUuid({ id, point }: Pick<SessionRecord, 'id' | 'point'>): string {
  return uuidFrom(createHash('sha256').update(`holdfast session ${id} of ${point}`).digest(), 8);
}

/** A short name for a session, always the same, where its ID is too long. */
export function sessionMark(id: string): string {
  return createHash('sha256').update(`holdfast session ${id}`).digest('hex').slice(0, 24);
}
