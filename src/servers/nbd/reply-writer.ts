import type { Extent } from '../../block/block-device.ts';
import {
  chunkHeaderLength,
  CHUNKS,
  type Echo,
  ERRORS,
  type HeaderStyle,
  type Request,
  SIMPLE_REPLY_LENGTH,
  writeChunkHeader,
  writeSimpleReply,
} from '../../formats/wire/nbd.ts';
import type { Traffic } from '../connection/traffic.ts';
import { encodeBlockStatus } from './block-status.ts';
import { replyQueue, type ReplyQueueOptions } from '../connection/reply-queue.ts';

const OFFSET_LENGTH = 8;
const MESSAGE_LENGTH_MAX = 512;

/** A part of the data of a read. */
interface Piece {
  readonly at: number;
  readonly isLast: boolean;
}

const WHOLE: Piece = { at: 0, isLast: true };

export type ReplyWriter = ReturnType<typeof replyWriter>;

/** Puts replies into the queue, in the style agreed on. Each is a single chunk, except data sent in pieces. */
export function replyWriter(style: HeaderStyle, traffic: Traffic, options: ReplyQueueOptions) {
  const queue = replyQueue(options);
  const dataHeader =
    style === 'simple' ? SIMPLE_REPLY_LENGTH : chunkHeaderLength(style) + OFFSET_LENGTH;
  /** The offset of the data for which room was made last. */
  let dataAt = 0;

  function simple(echo: Echo, error: number): void {
    const at = queue.reserve(SIMPLE_REPLY_LENGTH);
    writeSimpleReply(queue.view, at, echo, error);
    queue.commit(SIMPLE_REPLY_LENGTH);
  }
  function chunk(echo: Echo, type: number, payload: Uint8Array): void {
    const header = chunkHeaderLength(style);
    const at = queue.reserve(header + payload.length);
    writeChunkHeader(queue.view, at, style, echo, { type, length: payload.length });
    queue.bytes.set(payload, at + header);
    queue.commit(header + payload.length);
  }
  function writeDataHead(
    at: number,
    echo: Echo,
    { length, offset, isLast }: { length: number; offset: number; isLast: boolean },
  ): void {
    const { view } = queue;
    if (style === 'simple') return writeSimpleReply(view, at, echo, ERRORS.none);
    const what = { type: CHUNKS.offsetData, length: OFFSET_LENGTH + length, isLast };
    writeChunkHeader(view, at, style, echo, what);
    const low = echo.offsetLow + offset;
    const end = at + dataHeader;
    view.setUint32(end - 8, echo.offsetHigh + Math.floor(low / 2 ** 32));
    view.setUint32(end - 4, low >>> 0);
  }
  return {
    flush: (): void => queue.flush(),
    unsent: (): number => queue.unsent,
    done(echo: Echo): void {
      if (style === 'simple') simple(echo, ERRORS.none);
      else chunk(echo, CHUNKS.none, new Uint8Array(0));
    },
    fail(echo: Echo, error: number, message: string): void {
      if (style === 'simple') return simple(echo, error);
      const text = Buffer.from(message).subarray(0, MESSAGE_LENGTH_MAX);
      const payload = Buffer.concat([Buffer.alloc(6), text]);
      payload.writeUInt32BE(error);
      payload.writeUInt16BE(text.length, 4);
      chunk(echo, CHUNKS.error, payload);
    },
    /** Room for a read's data in the memory that is sent. `data` must follow; otherwise the room has no effect. */
    roomForData(length: number): Uint8Array {
      dataAt = queue.reserve(dataHeader + length) + dataHeader;
      return queue.bytes.subarray(dataAt, dataAt + length);
    },
    /** Sends the last room as the data of this reply or, except in the simple style, of a piece of it. */
    data(echo: Echo, length: number, { at: offset, isLast }: Piece = WHOLE): void {
      writeDataHead(dataAt - dataHeader, echo, { length, offset, isLast });
      queue.commit(dataHeader + length);
      traffic.readBytes += length;
    },
    /** Sends the header of an answer whose data follow in parts, with nothing in between. */
    dataHead(echo: Echo, length: number): void {
      const at = queue.reserve(dataHeader);
      writeDataHead(at, echo, { length, offset: 0, isLast: true });
      queue.commit(dataHeader);
    },
    /** Sends the next part of the data. */
    dataPart(bytes: Uint8Array): void {
      const at = queue.reserve(bytes.length);
      queue.bytes.set(bytes, at);
      queue.commit(bytes.length);
      traffic.readBytes += bytes.length;
    },
    blockStatus(echo: Echo, extents: readonly Extent[]): void {
      const type = style === 'extended' ? CHUNKS.blockStatusExtended : CHUNKS.blockStatus;
      chunk(echo, type, encodeBlockStatus(extents, style));
    },
  };
}

export function echoOf({ cookieHigh, cookieLow, offsetHigh, offsetLow }: Request): Echo {
  return { cookieHigh, cookieLow, offsetHigh, offsetLow };
}
