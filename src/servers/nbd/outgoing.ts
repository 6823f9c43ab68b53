import type { MemoryShare } from '../../lib/memory-budget.ts';
import { MiB } from '../../lib/sizes.ts';
import type { ReplyWriter } from './reply-writer.ts';

/**
 * Answers to reads, on their way out to one peer: counts the memory that they hold until the peer has taken them, and
 * keeps other answers back while one is being sent in parts, because nothing may come between these.
 */
export interface Outgoing {
  /** Call it when an answer that holds `length` bytes was put into the queue. */
  queue(length: number): void;
  /** Bytes held by answers that the peer has not taken. */
  queued(): number;
  /** Resolves when the peer has taken something, or has gone. */
  nextSent(): Promise<void>;
  /** Undefined: no answer is being sent in parts. Otherwise resolves when that may have changed. */
  sending(): Promise<void> | undefined;
  /** An answer is being sent in parts from now until the returned function is called. */
  beginParts(): () => void;
  /** Calls `say` as soon as no answer is being sent in parts: usually at once. */
  between(say: () => void): void;
  /** Whether the peer has gone: then nothing is sent. */
  readonly isOver: boolean;
  /** Call it when the peer has taken something. */
  onSent(): void;
  abandon(): void;
}

/**
 * With more bytes than this in the queue a read waits before it continues: enough to read on while the first piece is
 * sent.
 */
export const QUEUED_MAX = 4 * MiB;

export function outgoing(reads: MemoryShare, reply: ReplyWriter): Outgoing {
  const waiting: (() => void)[] = [];
  let queued = 0;
  let isOver = false;
  let sending: Promise<void> | undefined;

  function keep(length: number): void {
    reads.give(queued - length);
    queued = length;
    if (queued <= QUEUED_MAX) for (const go of waiting.splice(0)) go();
  }
  function between(say: () => void): void {
    if (sending) void sending.then(() => between(say));
    else say();
  }
  return {
    queue(length) {
      queued += length;
      if (isOver) keep(0);
    },
    queued: () => queued,
    nextSent: () => new Promise((resolve) => waiting.push(resolve)),
    sending: () => sending,
    beginParts() {
      const sent = Promise.withResolvers<void>();
      sending = sent.promise;
      return () => {
        sending = undefined;
        sent.resolve();
      };
    },
    between,
    get isOver() {
      return isOver;
    },
    onSent: () => keep(Math.min(queued, reply.unsent())),
    abandon() {
      isOver = true;
      keep(0);
    },
  };
}
