import {
  decodeOptionReply,
  encodeOption,
  encodeString,
  GREETING_LENGTH,
  HANDSHAKE_FLAGS,
  INFOS,
  NBD_MAGIC,
  OPTION_MAGIC,
  OPTION_REPLIES,
  OPTION_REPLY_HEADER_LENGTH,
  OPTIONS,
} from '../../formats/wire/nbd.ts';
import type { ByteStream } from '../../sys/net/network.ts';
import { BlockError } from '../block-error.ts';

/** The properties of an export that a server reports. */
export interface RemoteExport {
  readonly size: number;
  readonly flags: number;
  /** The largest payload of a request. */
  readonly payloadMax: number;
  readonly blockSize: number;
  /** Whether it distinguishes data from holes. */
  readonly allocation: boolean;
}

const CLIENT_FLAGS = HANDSHAKE_FLAGS.fixedNewstyle | HANDSHAKE_FLAGS.noZeroes;
/** "Block size constraints": the limit where a server does not state one. */
const PAYLOAD_MAX = 32 * 1024 * 1024;
const BLOCK_SIZE = 4096;
/** Names, descriptions and messages are 4096 bytes at most (proto.md, "Conventions"); this leaves room for more. */
const REPLY_LENGTH_MAX = 64 * 1024;
/** Replies to one option: some kinds of information, or one context. A server that sends more would never end. */
const REPLIES_MAX = 1024;

/** Awaits bytes of the stream, until `rest` hands over the remaining ones. */
interface Reader {
  take(length: number): Promise<Uint8Array>;
  rest(): Uint8Array;
}

/** Negotiates structured replies and block status where the server supports them, and chooses `name`. */
export async function chooseExport(
  stream: ByteStream,
  name: string,
): Promise<{ readonly export: RemoteExport; readonly rest: Uint8Array }> {
  const reader = readerOf(stream);
  stream.start();
  const greeting = view(await reader.take(GREETING_LENGTH));
  if (greeting.getBigUint64(0) !== NBD_MAGIC || greeting.getBigUint64(8) !== OPTION_MAGIC) {
    throw new BlockError('IO', 'the peer is not an NBD server, or an old-style one');
  }
  const flags = Buffer.alloc(4);
  flags.writeUInt32BE(CLIENT_FLAGS);
  stream.write(flags);

  const ask = asking(stream, reader);
  const structured = (await ask(OPTIONS.structuredReply, new Uint8Array(0))).ok;
  let allocation = false;
  if (structured) {
    const one = Buffer.from([0, 0, 0, 1]);
    const query = Buffer.concat([encodeString(name), one, encodeString('base:allocation')]);
    const answer = await ask(OPTIONS.setMetaContext, query);
    allocation = answer.ok && answer.data.some(({ reply }) => reply === OPTION_REPLIES.metaContext);
  }
  const request = Buffer.concat([encodeString(name), Buffer.from([0, 1, 0, INFOS.blockSize])]);
  const go = await ask(OPTIONS.go, request);
  if (!go.ok) throw new BlockError('IO', `the NBD server refuses export "${name}": ${go.message}`);
  return { export: exportOf(go.data, allocation), rest: reader.rest() };
}

interface Answer {
  readonly ok: boolean;
  readonly message: string;
  readonly data: readonly { readonly reply: number; readonly bytes: Uint8Array }[];
}

function asking(stream: ByteStream, reader: Reader) {
  return async (option: number, data: Uint8Array): Promise<Answer> => {
    stream.write(encodeOption(option, data));
    const found: { reply: number; bytes: Uint8Array }[] = [];
    while (found.length < REPLIES_MAX) {
      const header = decodeOptionReply(await reader.take(OPTION_REPLY_HEADER_LENGTH));
      if (!header || header.option !== option || header.length > REPLY_LENGTH_MAX) break;
      const bytes = await reader.take(header.length);
      if (header.reply === OPTION_REPLIES.ack) return { ok: true, message: '', data: found };
      if (header.reply >= 2 ** 31) {
        const text = Buffer.from(bytes).toString('utf8');
        return { ok: false, message: text || REASONS[header.reply] || 'error', data: found };
      }
      found.push({ reply: header.reply, bytes });
    }
    throw new BlockError('IO', 'the NBD server violates the protocol');
  };
}

const REASONS: Readonly<Record<number, string>> = {
  [OPTION_REPLIES.unknown]: 'there is no such export',
  [OPTION_REPLIES.tlsRequired]: 'it requires TLS',
  [OPTION_REPLIES.policy]: 'its policy forbids it',
};

function exportOf(data: Answer['data'], allocation: boolean): RemoteExport {
  let size: number | undefined;
  let flags = 0;
  let payloadMax = PAYLOAD_MAX;
  let blockSize = BLOCK_SIZE;
  for (const { bytes } of data.filter(({ reply }) => reply === OPTION_REPLIES.info)) {
    const info = bytes.length >= 2 ? view(bytes).getUint16(0) : -1;
    if (info === INFOS.export && bytes.length === 12) {
      size = Number(view(bytes).getBigUint64(2));
      flags = view(bytes).getUint16(10);
    } else if (info === INFOS.blockSize && bytes.length === 14) {
      blockSize = view(bytes).getUint32(6);
      payloadMax = Math.min(PAYLOAD_MAX, view(bytes).getUint32(10));
    }
  }
  if (size === undefined || !Number.isSafeInteger(size)) {
    throw new BlockError('IO', 'the NBD server does not report the size of the export');
  }
  const isPlausible = blockSize >= 512 && Number.isInteger(Math.log2(blockSize));
  return {
    size,
    flags,
    allocation,
    payloadMax: Math.max(payloadMax, BLOCK_SIZE),
    blockSize: isPlausible ? blockSize : BLOCK_SIZE,
  };
}

function readerOf(stream: ByteStream): Reader {
  let buffered: Uint8Array = new Uint8Array(0);
  let wake = (): void => {};
  let ended: Error | undefined;
  stream.onBytes = (bytes) => {
    buffered = Buffer.concat([buffered, bytes]);
    wake();
  };
  stream.onClose = (error) => {
    ended = error ?? new BlockError('IO', 'the NBD server closed the connection');
    wake();
  };
  return {
    async take(length) {
      while (buffered.length < length) {
        if (ended) throw ended;
        await new Promise<void>((resolve) => (wake = resolve));
      }
      const taken = buffered.slice(0, length);
      buffered = buffered.subarray(length);
      return taken;
    },
    rest: () => buffered,
  };
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
