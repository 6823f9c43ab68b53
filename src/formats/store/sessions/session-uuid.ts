import { createHash } from 'node:crypto';
import type { SessionRecord } from './session.ts';

/** A UUID for the machine of a session, always the same, and not that of its original (RFC 9562, version 8). */
export function sessionUuid({ id, point }: Pick<SessionRecord, 'id' | 'point'>): string {
  const bytes = createHash('sha256').update(`holdfast session ${id} of ${point}`).digest();
  bytes[6] = 0x80 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = bytes.toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20, 32),
  ].join('-');
}
