import { connect } from 'node:net';
import {
  COMMAND_FLAGS,
  COMMANDS,
  encodeOption,
  encodeString,
  OPTIONS,
} from '../../src/formats/wire/nbd.ts';
import { CLIENT_FLAGS, received } from './nbd-conversation.ts';

const REQUEST_MAGIC = 0x21e41c71;
const CHUNK_HEADER_LENGTH = 32;
const DONE = 1;
/** In the type of a chunk. */
const IS_ERROR = 0x8000;
const CONTEXT = 'base:allocation';

interface Range {
  readonly offset: number;
  readonly length: number;
  readonly fua?: boolean;
  /** In one chunk. */
  readonly df?: boolean;
}

/** One request at a time, of any length that 64 bits can say ("extended headers"), over a unix socket. */
export async function nbdExtended(path: string, name: string) {
  const socket = connect(path);
  const got = received(socket);
  await got.take(18);
  socket.write(CLIENT_FLAGS);
  socket.write(encodeOption(OPTIONS.extendedHeaders, Buffer.alloc(0)));
  await got.take(20);
  const one = Buffer.from([0, 0, 0, 1]);
  const query = Buffer.concat([encodeString(name), one, encodeString(CONTEXT)]);
  socket.write(encodeOption(OPTIONS.setMetaContext, query));
  for (const length of [20 + 4 + CONTEXT.length, 20]) await got.take(length);
  socket.write(encodeOption(OPTIONS.go, Buffer.concat([encodeString(name), Buffer.alloc(2)])));
  for (const length of [20 + 12, 20 + 14, 20]) await got.take(length);
  return {
    /** Answers how many bytes came; rejects where it was refused. */
    async ask(
      command: keyof typeof COMMANDS,
      { offset, length, fua = false, df = false }: Range,
      payload: Uint8Array = Buffer.alloc(0),
    ): Promise<number> {
      const header = Buffer.alloc(32);
      header.writeUInt32BE(REQUEST_MAGIC, 0);
      const flags = payload.length > 0 ? COMMAND_FLAGS.payloadLength : 0;
      const more = (fua ? COMMAND_FLAGS.fua : 0) | (df ? COMMAND_FLAGS.df : 0);
      header.writeUInt16BE(flags | more, 4);
      header.writeUInt16BE(COMMANDS[command], 6);
      header.writeBigUInt64BE(BigInt(offset), 16);
      header.writeBigUInt64BE(BigInt(length), 24);
      socket.write(Buffer.concat([header, payload]));
      let bytes = 0;
      for (let isDone = false; !isDone; ) {
        const head = (await got.take(CHUNK_HEADER_LENGTH))!;
        isDone = (head.readUInt16BE(4) & DONE) !== 0;
        const size = Number(head.readBigUInt64BE(24));
        const chunk = size > 0 ? await got.take(size) : undefined;
        if ((head.readUInt16BE(6) & IS_ERROR) !== 0) {
          throw new Error(`${command}: error ${chunk!.readUInt32BE()}`);
        }
        bytes += size;
      }
      return bytes;
    },
    end: () => void socket.destroy(),
  };
}
