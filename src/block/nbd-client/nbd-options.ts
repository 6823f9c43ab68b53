import {
  decodeOptionReply,
  encodeOption,
  OPTION_REPLIES,
  OPTION_REPLY_HEADER_LENGTH,
} from '../../formats/wire/nbd.ts';
import type { ByteStream } from '../../sys/net/network.ts';
import { BlockError } from '../block-error.ts';

/*
 * The handshake as a conversation: bytes that are waited for, options that are asked. What an option means is left to
 * nbd-handshake.ts.
 */

/**
 * The most bytes that answer one option: a list of all dirty bitmaps of a disk is the longest, of 1 KiB each (QEMU's
 * limit of a name). A server that sends more would never end.
 */
const ANSWER_LENGTH_MAX = 1024 * 1024;

export interface Answer {
  /** The server agreed. */
  readonly ok: boolean;
  /** The type of the reply that ended the answer. */
  readonly reply: number;
  /** What the server says of its refusal. */
  readonly message: string;
  readonly data: readonly { readonly reply: number; readonly bytes: Uint8Array }[];
}

export interface Options {
  /** The server ended the connection. */
  readonly isOver: boolean;
  /** Rejects if the server ends the connection first. */
  take(length: number): Promise<Uint8Array>;
  /** Bytes that arrived and were not taken. */
  rest(): Uint8Array;
  send(bytes: Uint8Array): void;
  ask(option: number, data: Uint8Array): Promise<Answer>;
}

export function optionsOver(stream: ByteStream): Options {
  let buffered: Uint8Array = new Uint8Array(0);
  let wake = (): void => {};
  let ended: Error | undefined;
  stream.onBytes = (bytes) => {
    buffered = Buffer.concat([buffered, bytes]);
    wake();
  };
  stream.onClose = (error) => {
    ended = error ?? new BlockError('IO', 'the NBD server ended the connection');
    wake();
  };
  async function take(length: number): Promise<Uint8Array> {
    while (buffered.length < length) {
      if (ended) throw ended;
      await new Promise<void>((resolve) => (wake = resolve));
    }
    const taken = buffered.slice(0, length);
    buffered = buffered.subarray(length);
    return taken;
  }
  return {
    get isOver() {
      return ended !== undefined;
    },
    take,
    rest: () => buffered,
    send: (bytes) => stream.write(bytes),
    async ask(option, data) {
      stream.write(encodeOption(option, data));
      const found: { reply: number; bytes: Uint8Array }[] = [];
      for (let left = ANSWER_LENGTH_MAX; left > 0; ) {
        const header = decodeOptionReply(await take(OPTION_REPLY_HEADER_LENGTH));
        left -= OPTION_REPLY_HEADER_LENGTH + (header?.length ?? 0);
        if (!header || header.option !== option || left < 0) break;
        const { reply } = header;
        const bytes = await take(header.length);
        if (reply === OPTION_REPLIES.ack) return { ok: true, reply, message: '', data: found };
        if (reply >= 2 ** 31) {
          const text = Buffer.from(bytes).toString('utf8');
          return { ok: false, reply, message: text || REASONS[reply] || 'error', data: found };
        }
        found.push({ reply, bytes });
      }
      throw new BlockError('IO', 'the NBD server violates the protocol');
    },
  };
}

const REASONS: Readonly<Record<number, string>> = {
  [OPTION_REPLIES.unsupported]: 'it does not support that',
  [OPTION_REPLIES.policy]: 'its policy forbids it',
  [OPTION_REPLIES.unknown]: 'there is no such export',
  [OPTION_REPLIES.shutdown]: 'it is shutting down',
};
