import { FormatError } from '../../formats/format-error.ts';
import {
  decodeQmpMessage,
  encodeQmpCommand,
  lineCutter,
  type QmpFailure,
  type QmpMessage,
} from '../../formats/wire/qmp.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { ByteStream } from '../../sys/net/network.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { QmpError } from './qmp-error.ts';

/*
 * Commands and their answers on one connection, to QEMU's monitor or to an agent: both answer in the order of the
 * commands. What a command has begun goes on when its caller goes.
 */

export interface Lines {
  /**
   * Rejects QmpError if it is refused; UNREACHABLE without an answer in time, which ends the connection (whether it was
   * carried out is not known then); FAILED for an answer that cannot be read; with the signal's reason.
   */
  call<R>(command: QmpCommand<R>, args: object | undefined, options: LineOptions): Promise<R>;
  /** The first message that `isIt` accepts; as `call` rejects. */
  wait(what: string, isIt: (message: QmpMessage) => boolean, options: LineOptions): Promise<void>;
  /** Ends the connection; resolves once it has ended. */
  close(): Promise<void>;
}

/** A command, and how its answer is read. */
export interface QmpCommand<R> {
  readonly name: string;
  /** Throws FormatError. */
  read(answer: unknown): R;
}

export interface LineOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

export interface Speaker {
  /** "QEMU", "the guest agent": for messages. */
  readonly who: string;
  /** Whether answers have the ID of their command: an agent's have none. */
  readonly hasIds: boolean;
  /** Called with the name of each event. */
  readonly onEvent?: ((name: string) => void) | undefined;
}

const SILENCE = 'no answer in time';

/** Whether it rejected because there was no answer in time. */
export function isSilence(cause: unknown): boolean {
  return cause instanceof HypervisorError && cause.native === SILENCE;
}

export function linesOver(stream: ByteStream, clock: Clock, speaker: Speaker): Lines {
  const { who, hasIds } = speaker;
  const messages = messagesOf(stream, clock, speaker);
  let lastId = 0;
  return {
    async call(command, args, options) {
      options.signal?.throwIfAborted();
      const id = hasIds ? ++lastId : undefined;
      let value: unknown;
      let failure: QmpFailure | undefined;
      const answered = messages.wait(
        command.name,
        (message) => {
          if (message.kind !== 'reply' && message.kind !== 'failure') return false;
          if (message.id !== id) return false;
          if (message.kind === 'reply') ({ value } = message);
          else ({ failure } = message);
          return true;
        },
        options,
      );
      stream.write(encodeQmpCommand({ name: command.name, args, id }));
      await answered;
      if (failure) throw new QmpError(failure, { who, command: command.name });
      return readAnswer(command, value, who);
    },
    wait: messages.wait,
    close: messages.close,
  };
}

function readAnswer<R>({ name, read }: QmpCommand<R>, value: unknown, who: string): R {
  try {
    return read(value);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    const message = `the answer of ${who} to "${name}" cannot be read: ${cause.message}`;
    throw new HypervisorError('FAILED', message, { cause });
  }
}

interface Waiting {
  onMessage(message: QmpMessage): boolean;
  reject(reason: HypervisorError): void;
}

function messagesOf(
  stream: ByteStream,
  clock: Clock,
  { who, onEvent }: Speaker,
): Pick<Lines, 'wait' | 'close'> {
  const { promise: ended, resolve: end } = Promise.withResolvers<undefined>();
  const waiting = new Set<Waiting>();
  let lost: HypervisorError | undefined;

  function lose(reason: HypervisorError): void {
    lost ??= reason;
    for (const it of waiting) it.reject(lost);
    waiting.clear();
    stream.destroy();
  }
  const cut = lineCutter((line) => {
    if (lost) return;
    const message = decodeQmpMessage(line);
    if (message.kind === 'event') onEvent?.(message.name);
    // An event belongs to no command.
    const first = [...waiting].find((it) => it.onMessage(message));
    if (first) waiting.delete(first);
  });
  stream.onBytes = (bytes) => {
    if (lost) return;
    try {
      cut(bytes);
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      const message = `what answers does not speak as ${who} does: ${cause.message}`;
      lose(new HypervisorError('FAILED', message, { cause }));
    }
  };
  stream.onClose = (error) => {
    const message = `${who} ended the connection${error ? `: ${error.message}` : ''}`;
    lose(new HypervisorError('UNREACHABLE', message, { cause: error }));
    end(undefined);
  };
  stream.start();
  return {
    async wait(what, isIt, { timeoutMs, signal }) {
      signal?.throwIfAborted();
      if (lost) throw lost;
      const { promise, resolve, reject } = Promise.withResolvers<undefined>();
      // A caller that gives up stays in the queue: the answer that comes later is not the next one's.
      waiting.add({
        onMessage(message) {
          const isFound = isIt(message);
          if (isFound) resolve(undefined);
          return isFound;
        },
        reject,
      });
      const over = new AbortController();
      const late = clock.sleep(timeoutMs, over.signal).then(
        () => {
          const message = `${who} did not answer "${what}" in time; whether it was done is not known`;
          lose(new HypervisorError('UNREACHABLE', message, { native: SILENCE }));
        },
        () => {},
      );
      const leave = (): void => reject(signal!.reason as Error);
      signal?.addEventListener('abort', leave, { once: true });
      try {
        await promise;
      } finally {
        signal?.removeEventListener('abort', leave);
        over.abort();
        await late;
      }
    },
    async close() {
      stream.destroy();
      await ended;
    },
  };
}
