import {
  CHUNK_HEADER_LENGTH,
  CHUNKS,
  COMMANDS,
  ERRORS,
  readReply,
  type Reply,
  replyHeaderLength,
} from '../../formats/wire/nbd.ts';
import { printable } from '../../lib/printable.ts';
import { BlockError } from '../block-error.ts';

/*
 * The replies of a server, cut out of its bytes. What a server may send is bounded here: nothing that no request asked
 * for, no more than was asked, and no reply that goes on for ever.
 */

export interface Command {
  readonly command: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
}

/** A request under way, and what has arrived for it. */
export interface Asked extends Command {
  /** The memory that a read fills. */
  readonly into: Uint8Array | undefined;
  /** Bytes of a read that have arrived. */
  filled: number;
  /** The extents of a block status, by context. */
  readonly statuses: Map<number, Uint8Array>;
  errors: number;
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

/**
 * The longest block status: the 4 GiB that a request can cover, in extents of 4 KiB, with its context (8 MiB). QEMU
 * stops at 131,072 extents (nbd/server.c, NBD_MAX_BLOCK_STATUS_EXTENTS: 1 MiB + 4 bytes), other servers do not.
 */
const STATUS_LENGTH_MAX = 4 + 8 * Math.floor((2 ** 32 - 1) / 4096);
/** An error with its message, which is a string ("Values": 4096 bytes), and its offset. */
const ERROR_LENGTH_MAX = 6 + 4096 + 8;
/** The most errors of one reply: a server that reads in parts may fail in several. */
const ERRORS_MAX = 16;
const OFFSET_LENGTH = 8;
/** The number of a context, before its extents. */
const CONTEXT_LENGTH = 4;
/** An extent in a block status: its length and its state. */
export const EXTENT_LENGTH = 8;
const MAGIC_LENGTH = 4;

interface ParserEvents {
  /** The numbers of the contexts that the server may use. */
  readonly contexts: ReadonlySet<number>;
  find(cookieLow: number): Asked | undefined;
  /** The reply is whole. */
  finish(cookieLow: number): void;
  /** What the server did; no reply is understood from now on. */
  fail(what: string): void;
}

/** Cuts the incoming bytes into replies; a read's data goes straight to its destination. */
export function replyParser(events: ParserEvents): (bytes: Uint8Array) => void {
  const { contexts, find, finish, fail } = events;
  const head = headerReader();
  let incoming: Incoming | undefined;
  let isBroken = false;

  function broken(what: string): void {
    isBroken = true;
    fail(what);
  }
  function begin(reply: Reply): void {
    const { cookieLow } = reply;
    const asked = find(cookieLow);
    if (!asked) return broken('sent a reply to no request');
    const place =
      reply.kind === 'simple' ? simplePlace(reply, asked) : chunkPlace(reply, asked, head.offset());
    if (typeof place === 'string') return broken(place);
    const done = reply.kind === 'simple' || reply.done;
    const type = reply.kind === 'simple' ? CHUNKS.none : reply.type;
    incoming = { asked, cookieLow, done, type, ...place, filled: 0 };
    if (incoming.into.length === 0) end(incoming);
    return undefined;
  }
  function end(whole: Incoming): void {
    incoming = undefined;
    const violation = taken(whole, contexts);
    if (violation !== undefined) broken(violation);
    else if (whole.done) finish(whole.cookieLow);
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

const NOT_ASKED = 'sent data that no request asked for';

function simplePlace({ error }: Extract<Reply, { kind: 'simple' }>, asked: Asked): Place {
  if (error !== ERRORS.none) asked.error = refused(asked, error, '');
  const { into } = asked;
  if (!into || error !== ERRORS.none) return { into: new Uint8Array(0), start: 0 };
  asked.filled = into.length;
  return { into, start: 0 };
}

/** Where the chunk's payload goes, or what is wrong with the chunk. `offset`: of one that has any. */
function chunkPlace(
  { type, length, done }: Extract<Reply, { kind: 'chunk' }>,
  asked: Asked,
  offset: number,
): Place | string {
  switch (type) {
    case CHUNKS.offsetData:
    case CHUNKS.offsetHole:
      return dataPlace({ type, offset, length: length - OFFSET_LENGTH }, asked);
    case CHUNKS.blockStatus:
      if (asked.command !== COMMANDS.blockStatus) return NOT_ASKED;
      if (length > STATUS_LENGTH_MAX) return TOO_LONG;
      break;
    case CHUNKS.error:
    case CHUNKS.errorOffset:
      asked.errors++;
      if (asked.errors > ERRORS_MAX) return 'sent too many errors';
      if (length > ERROR_LENGTH_MAX) return TOO_LONG;
      break;
    case CHUNKS.none:
      if (length > 0 || !done) return 'sent a chunk without a meaning';
      break;
    default:
      return `sent a chunk of an unknown type (${type})`;
  }
  return { into: new Uint8Array(length), start: 0 };
}

const TOO_LONG = 'sent a chunk that is too long';

function dataPlace(
  { type, offset, length }: { type: number; offset: number; length: number },
  asked: Asked,
): Place | string {
  const start = offset - asked.offset;
  const isHole = type === CHUNKS.offsetHole;
  const end = isHole ? start : start + length;
  if (!asked.into || start < 0 || end > asked.into.length || length <= 0) return NOT_ASKED;
  if (isHole) return length === 4 ? { into: new Uint8Array(4), start } : NOT_ASKED;
  return fill(asked, length) ?? { into: asked.into.subarray(start, end), start };
}

/** Notes that so much of a read has arrived; returns what is wrong with that. */
function fill(asked: Asked, length: number): string | undefined {
  asked.filled += length;
  return length === 0 || asked.filled > asked.length ? NOT_ASKED : undefined;
}

/** Takes a chunk that is whole; returns what is wrong with it. */
function taken(
  { asked, type, into, start }: Incoming,
  contexts: ReadonlySet<number>,
): string | undefined {
  const view = new DataView(into.buffer, into.byteOffset, into.length);
  if (type === CHUNKS.offsetHole) {
    const length = view.getUint32(0);
    if (length > asked.into!.length - start) return 'reported a hole that is too long';
    asked.into!.fill(0, start, start + length);
    return fill(asked, length);
  }
  if (type === CHUNKS.error || type === CHUNKS.errorOffset) asked.error ??= chunkError(asked, view);
  if (type !== CHUNKS.blockStatus) return undefined;
  // "NBD_REPLY_TYPE_BLOCK_STATUS": a chunk for each context, of extents that are not empty, at least one.
  if (!areExtents(view)) return 'sent a block status that is not a list of extents';
  const context = view.getUint32(0);
  if (!contexts.has(context) || asked.statuses.has(context)) {
    return `sent a block status for context ${context}, which is not expected`;
  }
  asked.statuses.set(context, into.subarray(CONTEXT_LENGTH));
  return undefined;
}

/** With extents of no bytes a server could answer without end. */
function areExtents(view: DataView): boolean {
  const length = view.byteLength - CONTEXT_LENGTH;
  if (length <= 0 || length % EXTENT_LENGTH !== 0) return false;
  for (let at = CONTEXT_LENGTH; at < view.byteLength; at += EXTENT_LENGTH) {
    if (view.getUint32(at) === 0) return false;
  }
  return true;
}

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

function chunkError(request: Asked, payload: DataView): BlockError {
  if (payload.byteLength < 6) {
    return new BlockError('IO', 'the NBD server sent an error without a reason');
  }
  const room = payload.byteLength - 6;
  const length = Math.min(payload.getUint16(4), room);
  const message = Buffer.from(payload.buffer, payload.byteOffset + 6, length).toString('utf8');
  return refused(request, payload.getUint32(0), message);
}

function refused({ offset, length }: Command, error: number, message: string): BlockError {
  const reason = printable(message) || `error ${error}`;
  const where = `the NBD server failed at ${offset}+${length}`;
  if (error !== ERRORS.noSpace) return new BlockError('IO', `${where}: ${reason}`);
  return new BlockError('NO_SPACE', `${where}: no space is left there (${reason})`);
}
