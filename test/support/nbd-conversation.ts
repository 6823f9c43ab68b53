import { connect, type Socket } from 'node:net';
import {
  COMMANDS,
  encodeOption,
  encodeString,
  OPTIONS,
  REQUEST_LENGTH,
  writeRequest,
} from '../../src/formats/wire/nbd.ts';

export const CLIENT_FLAGS = Buffer.from([0, 0, 0, 3]);
export const GO = encodeOption(
  OPTIONS.go,
  Buffer.concat([encodeString('vda'), Buffer.from([0, 0])]),
);

/** Bytes that come, as they are waited for. */
export function received(socket: Socket) {
  let parts: Buffer[] = [];
  let wake = (): void => {};
  const state = { isOver: false, waiting: 0 };
  socket.on('data', (part: Buffer) => {
    parts.push(part);
    state.waiting += part.length;
    wake();
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    state.isOver = true;
    wake();
  });
  return {
    /** Undefined: it was closed before. */
    async take(length: number): Promise<Buffer | undefined> {
      while (state.waiting < length && !state.isOver) await new Promise<void>((r) => (wake = r));
      if (state.waiting < length) return undefined;
      const bytes = Buffer.concat(parts);
      parts = [bytes.subarray(length)];
      state.waiting -= length;
      return bytes.subarray(0, length);
    },
    get waiting() {
      return state.waiting;
    },
    /** What came until it was closed. */
    async all(): Promise<Buffer> {
      while (!state.isOver) await new Promise<void>((r) => (wake = r));
      return Buffer.concat(parts);
    },
  };
}

/** A client that sends what no client of ours would: export `vda`, after the handshake. */
export async function nbdConversation(path: string) {
  const socket = connect(path);
  const got = received(socket);
  await got.take(18);
  socket.write(Buffer.concat([CLIENT_FLAGS, GO]));
  // Two answers with data, and that it is agreed.
  for (const length of [20 + 12, 20 + 14, 20]) await got.take(length);
  return {
    /** Without the rest of its payload. */
    beginWrite(offset: number, length: number, payload: Uint8Array): void {
      const bytes = new Uint8Array(REQUEST_LENGTH);
      const fields = { command: COMMANDS.write, flags: 0, offset, length, cookieLow: 1 };
      writeRequest(new DataView(bytes.buffer), 0, fields);
      socket.write(Buffer.concat([bytes, payload]));
    },
    /** Nothing takes the answer. */
    beginRead(offset: number, length: number, cookieLow = 1): void {
      const bytes = new Uint8Array(REQUEST_LENGTH);
      const fields = { command: COMMANDS.read, flags: 0, offset, length, cookieLow };
      writeRequest(new DataView(bytes.buffer), 0, fields);
      socket.pause();
      socket.write(bytes);
    },
    send: (bytes: Uint8Array) => void socket.write(bytes),
    /** The answer's; undefined: the server has closed. */
    take(length: number): Promise<Buffer | undefined> {
      socket.resume();
      return got.take(length);
    },
    end: () => void socket.destroy(),
  };
}
