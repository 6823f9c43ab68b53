import type { MemoryShare } from '../../lib/memory-budget.ts';
import { MiB } from '../../lib/sizes.ts';
import type { ReplyWriter } from './reply-writer.ts';

/**
 * Answers of a connection to reads, on their way out: the memory that they hold until the peer has taken them, and
 * whether one of them is being sent in parts, with which no other may mix.
 */
export interface Outgoing {
  /** An answer for which so much is held is in the queue. */
  queue(length: number): void;
  /** Bytes that are held for what the peer has not taken. */
  queued(): number;
  /** Resolves when the peer has taken something, or has gone. */
  nextSent(): Promise<void>;
  /** Undefined: no answer is being sent in parts; else it resolves when that may have changed. */
  sending(): Promise<void> | undefined;
  /** One is from now on, until what is returned is called. */
  beginParts(): () => void;
  /** Calls `say` once no answer is being sent in parts: at once, mostly. */
  between(say: () => void): void;
  /** The peer has gone: nothing more is sent. */
  readonly isOver: boolean;
  /** The peer has taken something. */
  onSent(): void;
  abandon(): void;
}

/** From so much on a read waits before it reads more: enough to continue while the first piece is sent. */
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
