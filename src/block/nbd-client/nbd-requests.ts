import {
  CHUNK_HEADER_LENGTH,
  CHUNKS,
  COMMANDS,
  ERRORS,
  readReply,
  type Reply,
  replyHeaderLength,
  REQUEST_LENGTH,
  writeRequest,
} from '../../formats/wire/nbd.ts';
import type { ByteStream } from '../../sys/net/network.ts';
import { BlockError } from '../block-error.ts';

/** Requests to a server, many at once; the cookie of a reply finds its request. */
export interface NbdRequests {
  send(command: Command, payload?: Uint8Array): Promise<void>;
  /** Fills `into`, which has the command's length. */
  read(command: Command, into: Uint8Array): Promise<void>;
  /** Resolves with the payload of a block status chunk. */
  status(command: Command): Promise<Uint8Array>;
  /** Set once every further request fails. */
  readonly isGone: boolean;
  /** Disconnects properly; requests under way fail. */
  end(): void;
}

export interface Command {
  readonly command: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
}

interface Asked extends Command {
  readonly into: Uint8Array | undefined;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  /** Bytes of a read that have arrived. */
  filled: number;
  status: Uint8Array | undefined;
  error: BlockError | undefined;
}

/** The destination of the bytes that arrive now. */
interface Incoming extends Place {
  readonly asked: Asked;
  readonly cookieLow: number;
  readonly done: boolean;
  readonly type: number;
  filled: number;
}

interface Place {
  /** Memory to fill: the reader's own, or the chunk's. */
  readonly into: Uint8Array;
  /** Offset in the reader's memory. */
  readonly start: number;
}

const COOKIES = 2 ** 32;
/**
 * The largest chunk that is not data: a block status of the 4 GiB that a request can cover, in extents of 4 KiB, with
 * its context (8 MiB). QEMU stops at 131,072 extents (nbd/server.c, NBD_MAX_BLOCK_STATUS_EXTENTS: 1 MiB + 4 bytes),
 * other servers do not. Data goes to its reader at once.
 */
const CHUNK_LENGTH_MAX = 4 + 8 * Math.floor((2 ** 32 - 1) / 4096);
const OFFSET_LENGTH = 8;

export function nbdRequests(stream: ByteStream, rest: Uint8Array, silenceMs: number): NbdRequests {
  const asked = new Map<number, Asked>();
  let cookie = 0;
  let failure: BlockError | undefined;

  function fail(message: string, cause?: unknown): void {
    failure ??= new BlockError('IO', message, { cause });
    for (const { reject } of asked.values()) reject(failure);
    asked.clear();
    stream.destroy();
  }
  const receive = replyParser({
    find: (cookieLow) => asked.get(cookieLow),
    finish(cookieLow, { error, resolve, reject, into, filled }) {
      asked.delete(cookieLow);
      if (asked.size === 0) stream.limitSilence(undefined);
      if (error) reject(error);
      else if (into && filled < into.length) reject(wrong('omitted a part of a read'));
      else resolve();
    },
    fail,
  });
  stream.limitSilence(undefined);
  stream.onBytes = receive;
  stream.onClose = (error) =>
    fail(`the NBD server disconnected${error ? `: ${error.message}` : ''}`, error);
  if (rest.length > 0) receive(rest);

  function start(command: Command, into: Uint8Array | undefined, payload?: Uint8Array) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (failure) {
      reject(failure);
      return { promise, request: undefined };
    }
    do cookie = (cookie + 1) % COOKIES;
    while (asked.has(cookie));
    const request: Asked = {
      ...command,
      into,
      resolve,
      reject,
      filled: 0,
      status: undefined,
      error: undefined,
    };
    if (asked.size === 0) stream.limitSilence(silenceMs);
    asked.set(cookie, request);
    const header = new Uint8Array(REQUEST_LENGTH);
    writeRequest(new DataView(header.buffer), 0, { ...command, cookieLow: cookie });
    stream.write(header);
    if (payload) stream.write(payload);
    return { promise, request };
  }
  return {
    send: (command, payload) => start(command, undefined, payload).promise,
    read: (command, into) => start(command, into).promise,
    async status(command) {
      const { promise, request } = start(command, undefined);
      await promise;
      if (!request?.status) throw wrong('did not return a block status');
      return request.status;
    },
    get isGone() {
      return failure !== undefined;
    },
    end() {
      const header = new Uint8Array(REQUEST_LENGTH);
      const goodbye = { command: COMMANDS.disconnect, flags: 0, offset: 0, length: 0 };
      writeRequest(new DataView(header.buffer), 0, { ...goodbye, cookieLow: 0 });
      stream.write(header);
      stream.end();
    },
  };
}

interface ParserEvents {
  find(cookieLow: number): Asked | undefined;
  finish(cookieLow: number, request: Asked): void;
  fail(message: string): void;
}

/** Cuts the incoming bytes into replies; a read's data goes straight to its destination. */
function replyParser({ find, finish, fail }: ParserEvents): (bytes: Uint8Array) => void {
  const head = headerReader();
  let incoming: Incoming | undefined;
  let isBroken = false;

  function broken(message: string): undefined {
    isBroken = true;
    fail(`the NBD server ${message}`);
    return undefined;
  }
  function begin(reply: Reply): void {
    const asked = find(reply.cookieLow);
    if (!asked) return broken('sent a reply to no request');
    const { cookieLow } = reply;
    const done = reply.kind === 'simple' || reply.done;
    const type = reply.kind === 'simple' ? CHUNKS.none : reply.type;
    const place = reply.kind === 'simple' ? simplePlace(reply, asked) : chunkPlace(reply, asked);
    if (!place) return undefined;
    incoming = { asked, cookieLow, done, type, ...place, filled: 0 };
    if (incoming.into.length === 0) end(incoming);
    return undefined;
  }
  function simplePlace({ error }: Extract<Reply, { kind: 'simple' }>, asked: Asked): Place {
    if (error !== ERRORS.none) asked.error = refused(asked, error, '');
    const { into } = asked;
    if (!into || error !== ERRORS.none) return { into: new Uint8Array(0), start: 0 };
    asked.filled = into.length;
    return { into, start: 0 };
  }
  function chunkPlace(reply: Extract<Reply, { kind: 'chunk' }>, asked: Asked): Place | undefined {
    if (!hasOffset(reply)) {
      if (reply.length > CHUNK_LENGTH_MAX) return broken('sent a chunk that is too long');
      return { into: new Uint8Array(reply.length), start: 0 };
    }
    const start = head.offset() - asked.offset;
    const isHole = reply.type === CHUNKS.offsetHole;
    const length = reply.length - OFFSET_LENGTH;
    const end = isHole ? start : start + length;
    const fits = asked.into !== undefined && start >= 0 && end <= asked.into.length;
    if (!fits || length < 0 || (isHole && length !== 4)) {
      return broken('sent data that no request asked for');
    }
    if (isHole) return { into: new Uint8Array(4), start };
    asked.filled += length;
    return { into: asked.into.subarray(start, end), start };
  }
  function end({ asked, cookieLow, done, type, into, start }: Incoming): void {
    incoming = undefined;
    if (type === CHUNKS.offsetHole) {
      const length = new DataView(into.buffer, into.byteOffset).getUint32(0);
      if (length > asked.into!.length - start) return broken('reported a hole that is too long');
      asked.into!.fill(0, start, start + length);
      asked.filled += length;
    } else if (type === CHUNKS.blockStatus) {
      asked.status = into;
    } else if (type === CHUNKS.error || type === CHUNKS.errorOffset) {
      asked.error ??= chunkError(asked, into);
    }
    if (done) finish(cookieLow, asked);
    return undefined;
  }
  return (bytes) => {
    for (let at = 0; at < bytes.length && !isBroken; ) {
      if (!incoming) {
        at += head.fill(bytes.subarray(at));
        const reply = head.take();
        if (reply === 'bad') broken('violated the protocol');
        else if (reply) begin(reply);
        continue;
      }
      const { into, filled } = incoming;
      const count = Math.min(into.length - filled, bytes.length - at);
      into.set(bytes.subarray(at, at + count), filled);
      incoming.filled += count;
      at += count;
      if (incoming.filled === into.length) end(incoming);
    }
  };
}

const MAGIC_LENGTH = 4;

/** Collects a reply's header, whose first bytes give its length. */
function headerReader() {
  const head = new Uint8Array(CHUNK_HEADER_LENGTH + OFFSET_LENGTH);
  const view = new DataView(head.buffer);
  let filled = 0;
  let wanted = MAGIC_LENGTH;
  return {
    fill(bytes: Uint8Array): number {
      const count = Math.min(wanted - filled, bytes.length);
      head.set(bytes.subarray(0, count), filled);
      filled += count;
      return count;
    },
    take(): Reply | 'bad' | undefined {
      if (filled < wanted) return undefined;
      if (wanted === MAGIC_LENGTH) {
        const length = replyHeaderLength(view);
        if (length === undefined) return 'bad';
        wanted = length;
        return undefined;
      }
      const reply = readReply(view);
      if (hasOffset(reply) && wanted === CHUNK_HEADER_LENGTH) {
        wanted += OFFSET_LENGTH;
        return undefined;
      }
      filled = 0;
      wanted = MAGIC_LENGTH;
      return reply;
    },
    /** The offset of the last chunk, if it has one. */
    offset: () => view.getUint32(20) * 2 ** 32 + view.getUint32(24),
  };
}

function hasOffset(reply: Reply): boolean {
  return (
    reply.kind === 'chunk' && (reply.type === CHUNKS.offsetData || reply.type === CHUNKS.offsetHole)
  );
}

function chunkError(request: Asked, payload: Uint8Array): BlockError {
  if (payload.length < 6) return wrong('sent an error without a reason');
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const message = Buffer.from(payload.subarray(6, 6 + view.getUint16(4))).toString('utf8');
  return refused(request, view.getUint32(0), message);
}

function refused({ offset, length }: Command, error: number, message: string): BlockError {
  const code = error === ERRORS.noSpace ? 'NO_SPACE' : 'IO';
  const reason = message || `error ${error}`;
  return new BlockError(code, `the NBD server failed at ${offset}+${length}: ${reason}`);
}

function wrong(what: string): BlockError {
  return new BlockError('IO', `the NBD server ${what}`);
}
