import { createServer, type Socket } from 'node:net';
import {
  decodeString,
  encodeOptionReply,
  encodeString,
  OPTION_REPLIES,
  OPTIONS,
  writeChunkHeader,
} from '../../src/formats/wire/nbd.ts';

/** An NBD server that says what a test wants, true or not. */
export interface NbdScript {
  /** Handshake flags; default: fixed newstyle, no zeroes. */
  readonly flags?: number;
  /** The bytes that answer an option; after 'serve' requests follow, 'end' closes. Default: `usual(0)`. */
  option(option: number, data: Buffer): { bytes: Uint8Array; next?: 'serve' | 'end' };
  /** The bytes that answer a request; undefined: none come. */
  request?(request: FakeRequest, socket: Socket): Uint8Array | undefined;
}

export interface FakeRequest {
  readonly command: number;
  readonly cookie: number;
  readonly offset: number;
  readonly length: number;
}

export async function fakeNbdServer(path: string, script: NbdScript): Promise<AsyncDisposable> {
  const { flags = 3 } = script;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let bytes = Buffer.alloc(0);
    let phase: 'flags' | 'options' | 'requests' | 'over' = 'flags';
    const greeting = Buffer.alloc(18);
    greeting.write('NBDMAGICIHAVEOPT', 0, 'latin1');
    greeting.writeUInt16BE(flags, 16);
    socket.write(greeting);
    socket.on('error', () => {});
    const take = (length: number): Buffer => {
      const taken = bytes.subarray(0, length);
      bytes = bytes.subarray(length);
      return taken;
    };
    socket.on('data', (more) => {
      bytes = Buffer.concat([bytes, more]);
      if (phase === 'flags' && bytes.length >= 4) {
        phase = 'options';
        take(4);
      }
      while (phase === 'options' && bytes.length >= 16) {
        const length = bytes.readUInt32BE(12);
        if (bytes.length < 16 + length) return;
        const head = take(16);
        const { bytes: answer, next } = script.option(head.readUInt32BE(8), take(length));
        socket.write(answer);
        if (next === 'serve') phase = 'requests';
        if (next === 'end') phase = 'over';
        if (next === 'end') socket.end();
      }
      if (phase !== 'requests') return;
      while (bytes.length >= 28) {
        const head = take(28);
        const request = {
          command: head.readUInt16BE(6),
          cookie: head.readUInt32BE(12),
          offset: Number(head.readBigUInt64BE(16)),
          length: head.readUInt32BE(24),
        };
        const answer = script.request?.(request, socket);
        if (answer) socket.write(answer);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Answers options as a server of today with an export of that size, and those contexts: names and numbers. */
export function usual(
  size: number,
  contexts: Readonly<Record<string, number>> = { 'base:allocation': 1 },
): NbdScript['option'] {
  return (option, data) => {
    const ack = encodeOptionReply(option, OPTION_REPLIES.ack);
    if (option === OPTIONS.setMetaContext || option === OPTIONS.listMetaContext) {
      const isList = option === OPTIONS.listMetaContext;
      const found = Object.entries(contexts).filter(([name]) => isList || asks(data, name));
      return { bytes: Buffer.concat([...found.map((it) => contextReply(option, ...it)), ack]) };
    }
    if (option === OPTIONS.go)
      return { bytes: Buffer.concat([infoReply(size), ack]), next: 'serve' };
    return { bytes: ack };
  };
}

function asks(data: Buffer, name: string): boolean {
  return data.includes(Buffer.from(encodeString(name)));
}

export function contextReply(option: number, name: string, id: number): Uint8Array {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(id);
  const data = Buffer.concat([number, Buffer.from(name)]);
  return encodeOptionReply(option, OPTION_REPLIES.metaContext, data);
}

function infoReply(size: number): Uint8Array {
  const info = Buffer.alloc(12);
  info.writeBigUInt64BE(BigInt(size), 2);
  info.writeUInt16BE(1, 10);
  return encodeOptionReply(OPTIONS.go, OPTION_REPLIES.info, info);
}

/** A chunk of a reply to the request with that cookie. */
export function chunk(
  cookie: number,
  type: number,
  payload: Uint8Array,
  { isLast = true, length = payload.length } = {},
): Buffer {
  const bytes = Buffer.alloc(20 + payload.length);
  const echo = { cookieHigh: 0, cookieLow: cookie, offsetHigh: 0, offsetLow: 0 };
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  writeChunkHeader(view, 0, 'structured', echo, { type, length, isLast });
  bytes.set(payload, 20);
  return bytes;
}

/** The payload of a block status: extents of a length and a state. */
export function extents(
  context: number,
  list: Iterable<readonly [length: number, state: number]>,
): Buffer {
  const words = [context, ...[...list].flat()];
  const bytes = Buffer.alloc(4 * words.length);
  for (const [at, word] of words.entries()) bytes.writeUInt32BE(word, 4 * at);
  return bytes;
}

/** The name of the export that an EXPORT_NAME, GO or context option is for. */
export function exportIn(option: number, data: Buffer): string | undefined {
  return option === OPTIONS.exportName ? data.toString() : decodeString(data, 0)?.text;
}
