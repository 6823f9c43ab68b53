import type { MessageRecord } from '../formats/store/service/alarm.ts';

/** A way to notify people. */
export interface Sender {
  /**
   * Resolves once the message was accepted. Rejects AlarmError REFUSED if it would be refused again; SystemError: try
   * later.
   */
  send(message: MessageRecord, signal: AbortSignal): Promise<void>;
}

/** The longest time for one attempt. */
export const SEND_TIMEOUT_MS = 20_000;
