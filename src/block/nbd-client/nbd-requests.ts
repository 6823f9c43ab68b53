import { COMMANDS, REQUEST_LENGTH, writeRequest } from '../../formats/wire/nbd.ts';
import type { ByteStream } from '../../sys/net/network.ts';
import { KiB } from '../../lib/sizes.ts';
import { BlockError } from '../block-error.ts';
import { type Asked, type Command, replyParser } from './nbd-replies.ts';

/** Requests to a server, many at once; the cookie of a reply finds its request. */
export interface NbdRequests {
  send(command: Command, payload?: Uint8Array): Promise<void>;
  /** Fills `into`, which has the command's length. */
  read(command: Command, into: Uint8Array): Promise<void>;
  /** Resolves with the extents of a block status, 8 bytes each, by one of the contexts. */
  status(command: Command, context: number): Promise<Uint8Array>;
  /** Set once every further request fails. */
  readonly isGone: boolean;
  /** Disconnects properly; requests under way fail. */
  end(): void;
}

export interface RequestsOptions {
  /** Names the export, for messages. */
  readonly uri: string;
  /** Bytes that arrived before. */
  readonly rest: Uint8Array;
  /** The numbers of the contexts that the server may use. */
  readonly contexts: ReadonlySet<number>;
  readonly silenceMs: number;
  /** Where it ended the connection, requests reject with its reason. */
  readonly signal: AbortSignal | undefined;
}

interface Waiting extends Asked {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

const COOKIES = 2 ** 32;
/** One memory for all that arrives: new memory for each piece costs a tenth of a backup's time to collect. */
const RECEIVE_LENGTH = 256 * KiB;

export function nbdRequests(
  stream: ByteStream,
  { uri, rest, contexts, silenceMs, signal }: RequestsOptions,
): NbdRequests {
  const waiting = new Map<number, Waiting>();
  let cookie = 0;
  let failure: Error | undefined;

  function fail(error: Error): void {
    failure ??= error;
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
    stream.destroy();
  }
  const receive = replyParser({
    contexts,
    find: (cookieLow) => waiting.get(cookieLow),
    finish(cookieLow) {
      const request = waiting.get(cookieLow);
      // It has failed in the meantime.
      if (!request) return;
      const { error, resolve, reject, into, filled } = request;
      waiting.delete(cookieLow);
      if (waiting.size === 0) stream.limitSilence(undefined);
      if (error) reject(new BlockError(error.code, `${uri}: ${error.message}`));
      else if (into && filled < into.length) reject(wrong(uri, 'omitted a part of a read'));
      else resolve();
    },
    fail: (what) => fail(wrong(uri, what)),
  });
  stream.limitSilence(undefined);
  stream.onBytes = receive;
  stream.onClose = (cause) => {
    if (signal?.aborted) return fail(signal.reason as Error);
    const reason = cause ? ` (${cause.message})` : '';
    const message =
      `${uri}: the NBD server ended the connection${reason}: check that it still runs, that the export is still ` +
      'there, and that the network holds; then repeat';
    return fail(new BlockError('IO', message, { cause }));
  };
  if (rest.length > 0) receive(rest);
  stream.receiveInto(new Uint8Array(RECEIVE_LENGTH));

  function start(command: Command, into: Uint8Array | undefined, payload?: Uint8Array) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const outcome = { filled: 0, statuses: new Map(), errors: 0, error: undefined };
    const request: Waiting = { ...command, into, resolve, reject, ...outcome };
    if (failure) {
      reject(failure);
      return { promise, request };
    }
    do cookie = (cookie + 1) % COOKIES;
    while (waiting.has(cookie));
    if (waiting.size === 0) stream.limitSilence(silenceMs);
    waiting.set(cookie, request);
    const header = new Uint8Array(REQUEST_LENGTH);
    writeRequest(new DataView(header.buffer), 0, { ...command, cookieLow: cookie });
    stream.write(header);
    if (payload) stream.write(payload);
    return { promise, request };
  }
  return {
    send: (command, payload) => start(command, undefined, payload).promise,
    read: (command, into) => start(command, into).promise,
    async status(command, context) {
      const { promise, request } = start(command, undefined);
      await promise;
      const status = request.statuses.get(context);
      if (!status) throw wrong(uri, 'did not return a block status');
      return status;
    },
    get isGone() {
      return failure !== undefined;
    },
    end() {
      failure ??= new BlockError('CLOSED', `${uri} is closed`);
      const header = new Uint8Array(REQUEST_LENGTH);
      const goodbye = { command: COMMANDS.disconnect, flags: 0, offset: 0, length: 0 };
      writeRequest(new DataView(header.buffer), 0, { ...goodbye, cookieLow: 0 });
      stream.write(header);
      stream.end();
    },
  };
}

function wrong(uri: string, what: string): BlockError {
  return new BlockError('IO', `${uri}: the NBD server ${what}`);
}
