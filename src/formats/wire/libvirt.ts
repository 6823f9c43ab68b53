import { FormatError } from '../format-error.ts';
import { type XdrReader, type XdrWriter, xdrReader, xdrWriter } from './xdr.ts';
import {
  DOUBLE,
  FLAG,
  I32,
  I64,
  type Layout,
  looseText,
  NOTHING,
  optional,
  struct,
  text,
  U32,
  U64,
  UUID_TEXT,
  type ValueOf,
} from './xdr-layouts.ts';

/* Packets of libvirt's RPC and the values that its messages share: libvirt.md. */

/** The largest packet that either side sends, without the four bytes of its length. */
const PACKET_LENGTH_MAX = 33_554_432;
const LENGTH_LENGTH = 4;
const HEADER_LENGTH = LENGTH_LENGTH + 24;
/** Also of what an administrator writes: definitions, names. */
export const TEXT_LENGTH_MAX = 4_194_304;
/** Domains, checkpoints and snapshots in one reply. */
export const LIST_COUNT_MAX = 16_384;

/** Each has version 1. */
export const LIBVIRT_PROGRAMS = { remote: 0x2000_8086, qemu: 0x2000_8087, keepalive: 0x6b65_6570 };
export const LIBVIRT_VERSION = 1;
export const PACKET_TYPES = { call: 0, reply: 1, message: 2, stream: 3 } as const;
export const PACKET_STATUS = { ok: 0, error: 1, continue: 2 } as const;
export const KEEPALIVE = { ping: 1, pong: 2 } as const;

export interface PacketHeader {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  readonly type: number;
  /** Numbers a call, and its reply; without meaning in messages. */
  readonly serial: number;
  readonly status: number;
}

const HEADER: Layout<PacketHeader> = struct({
  program: U32,
  version: U32,
  procedure: U32,
  type: U32,
  serial: U32,
  status: U32,
});

/** A whole packet, its length included. Throws CORRUPT if it is larger than the peer would take. */
export function encodePacket<T>(header: PacketHeader, layout: Layout<T>, body: T): Uint8Array {
  const length = HEADER_LENGTH + layout.size(body);
  if (length - LENGTH_LENGTH > PACKET_LENGTH_MAX) {
    throw new FormatError('CORRUPT', `a packet of ${length} bytes, not ${PACKET_LENGTH_MAX}`);
  }
  const bytes = new Uint8Array(length);
  const writer: XdrWriter = xdrWriter();
  writer.reset(bytes, new DataView(bytes.buffer), 0);
  writer.u32(length);
  HEADER.write(writer, header);
  layout.write(writer, body);
  return bytes;
}

/** `packet` is whole, its length included. */
export function decodeHeader(packet: Uint8Array): PacketHeader {
  return HEADER.read(readerAt(packet, LENGTH_LENGTH));
}

/** Throws TRUNCATED or CORRUPT unless the body is exactly what the layout says. */
export function decodeBody<T>(packet: Uint8Array, layout: Layout<T>): T {
  const reader = readerAt(packet, HEADER_LENGTH);
  const body = layout.read(reader);
  if (reader.at !== packet.length) {
    throw new FormatError('CORRUPT', `${packet.length - reader.at} bytes beyond a message's end`);
  }
  return body;
}

/** What a packet of a stream carries, without padding; empty: the stream's end. Lent as the packet is. */
export function streamBytes(packet: Uint8Array): Uint8Array {
  return packet.subarray(HEADER_LENGTH);
}

/** A packet of a stream with these bytes, without padding; none: the stream's end. */
export function encodeStreamPacket(header: PacketHeader, bytes: Uint8Array): Uint8Array {
  const packet = new Uint8Array(HEADER_LENGTH + bytes.length);
  packet.set(encodePacket(header, NOTHING, undefined));
  packet.set(bytes, HEADER_LENGTH);
  new DataView(packet.buffer).setUint32(0, packet.length);
  return packet;
}

/** The failure that a reply with the status `error` carries. */
export interface LibvirtFailure {
  /** virErrorNumber: see `LIBVIRT_ERRORS`. */
  readonly code: number;
  /** virErrorDomain: the part of libvirt that failed. */
  readonly domain: number;
  readonly message: string;
}

const FAILURE = struct({ code: I32, domain: I32, message: optional(looseText(TEXT_LENGTH_MAX)) });

/** What follows the message in the packet says nothing that the message does not, and is skipped. */
export function decodeFailure(packet: Uint8Array): LibvirtFailure {
  const { code, domain, message = '' } = FAILURE.read(readerAt(packet, HEADER_LENGTH));
  return { code, domain, message };
}

/** Failures that mean something to us, by their numbers, which never change. */
export const LIBVIRT_ERRORS = {
  internal: 1,
  noSupport: 3,
  invalidArgument: 8,
  operationFailed: 9,
  operationDenied: 29,
  systemError: 38,
  noDomain: 42,
  authFailed: 45,
  noPool: 49,
  noVolume: 50,
  operationInvalid: 55,
  configUnsupported: 67,
  operationTimeout: 68,
  noSnapshot: 72,
  argumentUnsupported: 74,
  operationAborted: 78,
  authCancelled: 79,
  noMetadata: 80,
  blockCopyActive: 83,
  operationUnsupported: 84,
  agentUnresponsive: 86,
  resourceBusy: 87,
  accessDenied: 88,
  invalidXml: 92,
  authUnavailable: 94,
  agentUnsynced: 97,
  invalidCheckpoint: 102,
  noCheckpoint: 103,
  noBackup: 104,
  checkpointInconsistent: 109,
} as const;

function readerAt(packet: Uint8Array, at: number): XdrReader {
  const reader = xdrReader();
  reader.reset(
    packet,
    new DataView(packet.buffer, packet.byteOffset, packet.length),
    at,
    packet.length,
  );
  return reader;
}

/** Memory for a packet of which only the beginning has arrived, however long it says that it is. */
const FIRST_LENGTH = 64 * 1024;

/**
 * Cuts a stream of bytes into packets. It keeps at most one packet, in memory that grows with what has really arrived.
 * `bytes` are lent; a packet that `onPacket` gets is lent until that returns. Throws CORRUPT where a length is
 * impossible: there is no way back into step with the peer.
 */
export function packetCutter(onPacket: (packet: Uint8Array) => void): (bytes: Uint8Array) => void {
  let kept = new Uint8Array(0);
  let filled = 0;

  function keep(bytes: Uint8Array): void {
    if (filled + bytes.length > kept.length) {
      const longer = new Uint8Array(Math.max(FIRST_LENGTH, 2 * kept.length, filled + bytes.length));
      longer.set(kept.subarray(0, filled));
      kept = longer;
    }
    kept.set(bytes, filled);
    filled += bytes.length;
  }
  function missing(): number {
    if (filled < LENGTH_LENGTH) return LENGTH_LENGTH - filled;
    return packetLength(kept) - filled;
  }
  return (bytes) => {
    let rest = bytes;
    while (rest.length > 0) {
      if (filled === 0 && rest.length >= LENGTH_LENGTH && rest.length >= packetLength(rest)) {
        const length = packetLength(rest);
        const packet = rest.subarray(0, length);
        rest = rest.subarray(length);
        onPacket(packet);
        continue;
      }
      const part = rest.subarray(0, missing());
      rest = rest.subarray(part.length);
      keep(part);
      if (filled < LENGTH_LENGTH || missing() > 0) continue;
      const packet = kept.subarray(0, filled);
      // Memory for a large packet is not kept for the small ones that follow.
      kept = new Uint8Array(0);
      filled = 0;
      onPacket(packet);
    }
  };
}

function packetLength(bytes: Uint8Array): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0);
  if (length < HEADER_LENGTH || length - LENGTH_LENGTH > PACKET_LENGTH_MAX) {
    throw new FormatError('CORRUPT', `a packet of ${length} bytes`);
  }
  return length;
}

/** What libvirt calls a domain is a machine to us. */
export const DOMAIN = struct({
  name: text(TEXT_LENGTH_MAX),
  uuid: UUID_TEXT,
  /** -1 while it is off. */
  id: I32,
});
export type LibvirtDomain = ValueOf<typeof DOMAIN>;

/** A checkpoint or a snapshot of a domain, by its name. */
export const NAMED = struct({ name: text(TEXT_LENGTH_MAX), domain: DOMAIN });
export type LibvirtNamed = ValueOf<typeof NAMED>;

/** virTypedParameterType. Texts may come from the guest, through its agent. */
const PARAMETER_TYPES = {
  int: { number: 1, layout: I32 },
  unsigned: { number: 2, layout: U32 },
  long: { number: 3, layout: I64 },
  unsignedLong: { number: 4, layout: U64 },
  double: { number: 5, layout: DOUBLE },
  boolean: { number: 6, layout: FLAG },
  text: { number: 7, layout: looseText(TEXT_LENGTH_MAX) },
} as const;

/** A field with a value whose type the sender chose. */
export interface TypedParameter {
  readonly field: string;
  readonly type: keyof typeof PARAMETER_TYPES;
  readonly value: number | boolean | string;
}

const FIELD = text(TEXT_LENGTH_MAX);

export const TYPED_PARAMETER: Layout<TypedParameter> = {
  size: ({ field, type, value }) => FIELD.size(field) + 4 + valueLayout(type).size(value),
  write(writer, { field, type, value }) {
    FIELD.write(writer, field);
    writer.u32(PARAMETER_TYPES[type].number);
    valueLayout(type).write(writer, value);
  },
  read(reader) {
    const field = FIELD.read(reader);
    const number = reader.u32();
    const found = Object.entries(PARAMETER_TYPES).find(([, it]) => it.number === number);
    if (!found) throw new FormatError('CORRUPT', `a parameter "${field}" of type ${number}`);
    const type = found[0] as TypedParameter['type'];
    return { field, type, value: valueLayout(type).read(reader) };
  },
};

function valueLayout(type: TypedParameter['type']): Layout<TypedParameter['value']> {
  return PARAMETER_TYPES[type].layout as Layout<unknown> as Layout<TypedParameter['value']>;
}

/** The values by their fields; the last one counts where a field is there twice. */
export function parameterValues(
  parameters: readonly TypedParameter[],
): ReadonlyMap<string, TypedParameter['value']> {
  return new Map(parameters.map(({ field, value }) => [field, value]));
}
