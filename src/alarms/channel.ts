import type { MessageRecord } from '../formats/store/service/alarm.ts';

/** A way to tell people. */
export interface Sender {
  /** Resolves once it was taken. Rejects AlarmError REFUSED: it would be refused again; SystemError: not now. */
  send(message: MessageRecord, signal: AbortSignal): Promise<void>;
}

/** How long one attempt may take. */
export const SEND_TIMEOUT_MS = 20_000;
