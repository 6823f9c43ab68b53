import { concatBytes, utf8 } from '../../lib/bytes.ts';

/*
 * The Network Block Device protocol: its numbers, and its messages as bytes. Section names in comments
 * are those of doc/proto.md of the NBD project. All numbers on the wire are big-endian.
 */

/** "NBDMAGIC" and "IHAVEOPT". */
export const NBD_MAGIC = 0x4e42444d41474943n;
export const OPTION_MAGIC = 0x49484156454f5054n;
const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const EXTENDED_REQUEST_MAGIC = 0x21e41c71;
const SIMPLE_REPLY_MAGIC = 0x67446698;
const STRUCTURED_REPLY_MAGIC = 0x668e33ef;
const EXTENDED_REPLY_MAGIC = 0x6e8a278c;

/** Largest payload of a request or a reply that we accept or ask for ("Size constraints"). */
export const PAYLOAD_LENGTH_MAX = 32 * 1024 * 1024;
/** Longest string that the protocol allows ("Values"). */
export const STRING_LENGTH_MAX = 4096;

/** Handshake flags, of the server and of the client alike. */
export const HANDSHAKE_FLAGS = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const OPTIONS = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
  extendedHeaders: 11,
} as const;

export const OPTION_REPLIES = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: 0x80000001,
  policy: 0x80000002,
  invalid: 0x80000003,
  tlsRequired: 0x80000005,
  unknown: 0x80000006,
  shutdown: 0x80000007,
  blockSizeRequired: 0x80000008,
  tooBig: 0x80000009,
} as const;

export const INFOS = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

/** "Transmission flags". */
export const TRANSMISSION_FLAGS = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendFua: 8,
  sendTrim: 32,
  sendWriteZeroes: 64,
  sendDf: 128,
  canMultiConn: 256,
  sendCache: 1024,
  sendFastZero: 2048,
} as const;

export const COMMANDS = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
} as const;

export const COMMAND_FLAGS = {
  fua: 1,
  noHole: 2,
  df: 4,
  reqOne: 8,
  fastZero: 16,
  payloadLength: 32,
} as const;

/** "Error values". */
export const ERRORS = {
  none: 0,
  notPermitted: 1,
  io: 5,
  noMemory: 12,
  invalid: 22,
  noSpace: 28,
  overflow: 75,
  notSupported: 95,
  shutdown: 108,
} as const;

/** "Structured reply types". */
export const CHUNKS = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  blockStatusExtended: 6,
  error: 0x8001,
  errorOffset: 0x8002,
} as const;
const CHUNK_DONE = 1;

/** "Metadata querying": the context that tells data from holes. */
export const BASE_ALLOCATION = 'base:allocation';
/** States of `base:allocation`. */
export const STATES = { hole: 1, zero: 2 } as const;
/** QEMU's contexts (docs/interop/nbd.txt): one for each dirty bitmap; its only state says that a range has changed. */
export const DIRTY_BITMAP = 'qemu:dirty-bitmap:';

export const GREETING_LENGTH = 18;
export const OPTION_HEADER_LENGTH = 16;
export const OPTION_REPLY_HEADER_LENGTH = 20;
export const REQUEST_LENGTH = 28;
const EXTENDED_REQUEST_LENGTH = 32;
export const SIMPLE_REPLY_LENGTH = 16;
export const CHUNK_HEADER_LENGTH = 20;
const EXTENDED_CHUNK_HEADER_LENGTH = 32;

/** The form of requests and replies, as negotiated. */
export type HeaderStyle = 'simple' | 'structured' | 'extended';

/**
 * A request's header. One object is reused for all: a server parses 100,000 a second. Numbers of 64 bits are also
 * kept in halves: they are echoed, whatever their value.
 */
export interface Request {
  flags: number;
  command: number;
  cookieHigh: number;
  cookieLow: number;
  /** Infinity where it is not a safe integer: beyond the end of any disk. */
  offset: number;
  offsetHigh: number;
  offsetLow: number;
  /** As `offset`. */
  length: number;
}

export function newRequest(): Request {
  return {
    flags: 0,
    command: 0,
    cookieHigh: 0,
    cookieLow: 0,
    offset: 0,
    offsetHigh: 0,
    offsetLow: 0,
    length: 0,
  };
}

export function requestLength(style: HeaderStyle): number {
  return style === 'extended' ? EXTENDED_REQUEST_LENGTH : REQUEST_LENGTH;
}

/** Reads the header that begins at `at`; false: it is not a header, and nothing after it can be understood. */
export function readRequest(
  view: DataView,
  at: number,
  style: HeaderStyle,
  into: Request,
): boolean {
  const magic = style === 'extended' ? EXTENDED_REQUEST_MAGIC : REQUEST_MAGIC;
  if (view.getUint32(at) !== magic) return false;
  into.flags = view.getUint16(at + 4);
  into.command = view.getUint16(at + 6);
  into.cookieHigh = view.getUint32(at + 8);
  into.cookieLow = view.getUint32(at + 12);
  into.offsetHigh = view.getUint32(at + 16);
  into.offsetLow = view.getUint32(at + 20);
  into.offset = joined(into.offsetHigh, into.offsetLow);
  into.length =
    style === 'extended'
      ? joined(view.getUint32(at + 24), view.getUint32(at + 28))
      : view.getUint32(at + 24);
  return true;
}

/** Whether a payload follows the header, and so how long it is. */
export function requestPayload(request: Request, style: HeaderStyle): number {
  if (request.command === COMMANDS.write) return request.length;
  const has = style === 'extended' && (request.flags & COMMAND_FLAGS.payloadLength) !== 0;
  return has ? request.length : 0;
}

export function writeRequest(
  view: DataView,
  at: number,
  request: Pick<Request, 'flags' | 'command' | 'cookieLow' | 'offset' | 'length'>,
): void {
  view.setUint32(at, REQUEST_MAGIC);
  view.setUint16(at + 4, request.flags);
  view.setUint16(at + 6, request.command);
  view.setUint32(at + 8, 0);
  view.setUint32(at + 12, request.cookieLow);
  view.setUint32(at + 16, Math.floor(request.offset / 2 ** 32));
  view.setUint32(at + 20, request.offset >>> 0);
  view.setUint32(at + 24, request.length);
}

export type Echo = Pick<Request, 'cookieHigh' | 'cookieLow' | 'offsetHigh' | 'offsetLow'>;

export function writeSimpleReply(view: DataView, at: number, echo: Echo, error: number): void {
  view.setUint32(at, SIMPLE_REPLY_MAGIC);
  view.setUint32(at + 4, error);
  view.setUint32(at + 8, echo.cookieHigh);
  view.setUint32(at + 12, echo.cookieLow);
}

export function chunkHeaderLength(style: HeaderStyle): number {
  return style === 'extended' ? EXTENDED_CHUNK_HEADER_LENGTH : CHUNK_HEADER_LENGTH;
}

export interface ChunkOptions {
  readonly type: number;
  readonly length: number;
  /** The last chunk of the reply; default: it is the only one. */
  readonly isLast?: boolean;
}

/** Writes a chunk's header; `length` bytes of payload follow. */
export function writeChunkHeader(
  view: DataView,
  at: number,
  style: HeaderStyle,
  echo: Echo,
  { type, length, isLast = true }: ChunkOptions,
): void {
  const extended = style === 'extended';
  view.setUint32(at, extended ? EXTENDED_REPLY_MAGIC : STRUCTURED_REPLY_MAGIC);
  view.setUint16(at + 4, isLast ? CHUNK_DONE : 0);
  view.setUint16(at + 6, type);
  view.setUint32(at + 8, echo.cookieHigh);
  view.setUint32(at + 12, echo.cookieLow);
  if (!extended) {
    view.setUint32(at + 16, length);
    return;
  }
  view.setUint32(at + 16, echo.offsetHigh);
  view.setUint32(at + 20, echo.offsetLow);
  view.setUint32(at + 24, 0);
  view.setUint32(at + 28, length);
}

export type Reply =
  | { readonly kind: 'simple'; readonly cookieLow: number; readonly error: number }
  | {
      readonly kind: 'chunk';
      readonly cookieLow: number;
      readonly done: boolean;
      readonly type: number;
      readonly length: number;
    };

/** The length of the header that begins with these 4 bytes; undefined: they do not begin a header. */
export function replyHeaderLength(view: DataView): number | undefined {
  switch (view.getUint32(0)) {
    case SIMPLE_REPLY_MAGIC:
      return SIMPLE_REPLY_LENGTH;
    case STRUCTURED_REPLY_MAGIC:
      return CHUNK_HEADER_LENGTH;
    default:
      return undefined;
  }
}

/** Reads such a header, which is whole. */
export function readReply(view: DataView): Reply {
  if (view.getUint32(0) === SIMPLE_REPLY_MAGIC) {
    return { kind: 'simple', error: view.getUint32(4), cookieLow: view.getUint32(12) };
  }
  return {
    kind: 'chunk',
    done: (view.getUint16(4) & CHUNK_DONE) !== 0,
    type: view.getUint16(6),
    cookieLow: view.getUint32(12),
    length: view.getUint32(16),
  };
}

export function encodeOption(option: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(OPTION_HEADER_LENGTH + data.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, OPTION_MAGIC);
  view.setUint32(8, option);
  view.setUint32(12, data.length);
  bytes.set(data, OPTION_HEADER_LENGTH);
  return bytes;
}

export function encodeOptionReply(
  option: number,
  reply: number,
  data: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const bytes = new Uint8Array(OPTION_REPLY_HEADER_LENGTH + data.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, OPTION_REPLY_MAGIC);
  view.setUint32(8, option);
  view.setUint32(12, reply);
  view.setUint32(16, data.length);
  bytes.set(data, OPTION_REPLY_HEADER_LENGTH);
  return bytes;
}

export interface OptionReply {
  readonly option: number;
  readonly reply: number;
  readonly length: number;
}

/** Reads the first OPTION_REPLY_HEADER_LENGTH of `bytes`; undefined: not a reply. */
export function decodeOptionReply(bytes: Uint8Array): OptionReply | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, OPTION_REPLY_HEADER_LENGTH);
  if (view.getBigUint64(0) !== OPTION_REPLY_MAGIC) return undefined;
  return { option: view.getUint32(8), reply: view.getUint32(12), length: view.getUint32(16) };
}

/** A string with its length in front, as in options. */
export function encodeString(text: string): Uint8Array {
  const bytes = utf8(text);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length);
  return concatBytes(length, bytes);
}

/** Reads such a string at `at`, and returns where it ends; undefined: it does not fit. */
export function decodeString(
  bytes: Uint8Array,
  at: number,
): { readonly text: string; readonly end: number } | undefined {
  if (bytes.length - at < 4) return undefined;
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(at);
  const end = at + 4 + length;
  if (length > STRING_LENGTH_MAX || end > bytes.length) return undefined;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + at + 4, length).toString('utf8');
  return { text, end };
}

/** The data of an option that lists or sets contexts of an export. */
export function encodeContextQuery(exportName: string, contexts: readonly string[]): Uint8Array {
  const count = new Uint8Array(4);
  new DataView(count.buffer).setUint32(0, contexts.length);
  return concatBytes(encodeString(exportName), count, ...contexts.map(encodeString));
}

export interface MetaContext {
  /** The number by which block statuses name it. */
  readonly id: number;
  readonly name: string;
}

/** The data of an NBD_REP_META_CONTEXT; undefined: it is too short. */
export function decodeMetaContext(bytes: Uint8Array): MetaContext | undefined {
  if (bytes.length < 4) return undefined;
  const id = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0);
  return { id, name: Buffer.from(bytes.buffer, bytes.byteOffset + 4, bytes.length - 4).toString() };
}

/** Infinity at or above 2^53, where arithmetic is not exact; no disk is that large. */
function joined(high: number, low: number): number {
  return high < 2 ** 21 ? high * 2 ** 32 + low : Number.POSITIVE_INFINITY;
}
