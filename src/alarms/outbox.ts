import type { AlarmNotice, MessageRecord } from '../formats/store/service/alarm.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { ticker } from '../sys/base/ticker.ts';
import type { World } from '../sys/world.ts';
import { AlarmError } from './alarm-error.ts';
import type { Sender } from './channel.ts';
import { openMessages } from './messages.ts';

/*
 * Unsent messages of one channel, sent one after the other. A message is on the disk before the caller continues, and
 * stays until it was accepted, over any number of restarts of the service.
 */
export interface Outbox extends AsyncDisposable {
  /** The number of waiting messages. */
  readonly size: number;
  /**
   * Once this resolves the message survives a crash. Never rejects: a message that cannot be written is sent if
   * possible.
   */
  put(notice: AlarmNotice): Promise<void>;
  /** Tries to send all messages now: the settings of the channel may have changed. */
  wake(): void;
  start(): void;
}

export interface OutboxOptions {
  readonly world: World;
  readonly directory: string;
  /** The current sender; undefined: this channel is no longer configured. */
  readonly sender: () => Sender | undefined;
  /** Called with the reason when the channel has failed for a while; undefined: it works again. */
  readonly onState: (reason: string | undefined) => void;
  /** Called when a message is given up, or cannot be stored. */
  readonly onTrouble: (message: string) => void;
}

/** People do not read more than this one by one. */
const MESSAGES_MAX = 500;
const MINUTE_MS = 60_000;
/** The delay after each failure; from then on every hour. */
const RETRY_MS = [1, 5, 15].map((minutes) => minutes * MINUTE_MS);
const RETRY_MAX_MS = 60 * MINUTE_MS;
/** The age at which a message is no longer worth sending. */
const AGE_MAX_MS = 3 * 24 * 60 * MINUTE_MS;
/** A server may be restarting: fewer failures are not reported. */
const FAILS_AFTER = 3;
const SLEEP_MAX_MS = MINUTE_MS;
const REASON_MAX = 1000;

/** Rejects SystemError. */
export async function openOutbox(options: OutboxOptions): Promise<Outbox> {
  const { world, directory, sender, onState, onTrouble } = options;
  const { files, clock, random } = world;
  const messages = await openMessages(files, directory, onTrouble);
  const closing = new AbortController();
  let isWoken = false;

  async function attempt(message: MessageRecord, by: Sender): Promise<void> {
    try {
      await by.send(message, closing.signal);
      onState(undefined);
      return await messages.remove(message.id);
    } catch (cause) {
      if (closing.signal.aborted) return;
      if (!(cause instanceof SystemError) && !(cause instanceof AlarmError)) throw cause;
      const next = failed(message, cause, clock.now());
      if (!next || next.attempts >= FAILS_AFTER) onState(cause.message);
      if (next) return messages.keep(next);
      onTrouble(`a notification was given up: ${message.notice.message}: ${cause.message}`);
      await messages.remove(message.id);
    }
  }
  /** Sends what is due, and returns when to look again. */
  async function look(): Promise<number> {
    let soonest = SLEEP_MAX_MS;
    const isNow = isWoken;
    isWoken = false;
    if (!sender()) onState(undefined);
    for (const message of messages.list()) {
      const by = sender();
      if (closing.signal.aborted) break;
      if (!by) {
        await messages.remove(message.id);
        continue;
      }
      const aheadMs = Date.parse(message.notBefore ?? message.created) - clock.now().getTime();
      // A clock that was set back must not delay messages.
      if (isNow || aheadMs <= 0 || aheadMs > RETRY_MAX_MS) await attempt(message, by);
      else soonest = Math.min(soonest, aheadMs);
    }
    return soonest;
  }
  const ticks = ticker(clock, look);
  return {
    get size() {
      return messages.size;
    },
    async put(notice) {
      const created = clock.now().toISOString();
      const tail = Buffer.from(random.bytes(4)).toString('hex');
      const id = `${created.replace(/[-:.]/g, '')}-${tail}`;
      const [oldest] = messages.list();
      if (oldest && messages.size >= MESSAGES_MAX) {
        onTrouble(`too many notifications wait: one was given up: ${oldest.notice.message}`);
        await messages.remove(oldest.id);
      }
      const fresh = { attempts: 0, notBefore: undefined, reason: undefined };
      await messages.keep({ id, created, ...fresh, notice });
      ticks.wake();
    },
    wake() {
      isWoken = true;
      ticks.wake();
    },
    start: () => ticks.start(),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await ticks[Symbol.asyncDispose]();
    },
  };
}

/** Undefined: the message is given up. */
function failed(message: MessageRecord, cause: Error, now: Date): MessageRecord | undefined {
  const isRefused = cause instanceof AlarmError && cause.code === 'REFUSED';
  if (isRefused || now.getTime() - Date.parse(message.created) > AGE_MAX_MS) return undefined;
  const delayMs = RETRY_MS[message.attempts] ?? RETRY_MAX_MS;
  return {
    ...message,
    attempts: message.attempts + 1,
    reason: cause.message.slice(0, REASON_MAX),
    notBefore: new Date(now.getTime() + delayMs).toISOString(),
  };
}
