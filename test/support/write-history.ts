import { deepEqual } from 'node:assert/strict';

/** What may be lost: nothing that was answered (a process was killed), or what no flush covers (a power cut). */
export type Loss = 'nothing answered' | 'unflushed';

/**
 * The writes requested of a disk, each of one byte's value, and what the disk may hold after whatever
 * happened. Only what it may hold: an unanswered write may have happened, in part, or not.
 */
export interface WriteHistory {
  /** Answers what is to be called once the write was answered. */
  write(write: Written): () => void;
  /** Answers what is to be called once the flush was answered. */
  flush(): () => void;
  check(found: Uint8Array, loss: Loss, where: string): void;
}

export interface Written {
  readonly offset: number;
  readonly length: number;
  readonly value: number;
  readonly durable: boolean;
}

interface Entry extends Written {
  readonly asked: number;
  answered: number;
}

export function writeHistory(base: Uint8Array): WriteHistory {
  const writes: Entry[] = [];
  const flushes: number[] = [];
  let now = 0;

  function isKept(write: Entry, loss: Loss): boolean {
    if (write.answered === Number.POSITIVE_INFINITY) return false;
    if (loss === 'nothing answered' || write.durable) return true;
    return flushes.some((asked) => asked > write.answered);
  }
  function* segments() {
    const ends = writes.flatMap(({ offset, length }) => [offset, offset + length]);
    let start = 0;
    for (const end of [...new Set([...ends, base.length])].sort((a, b) => a - b)) {
      if (end > start) yield { start, end };
      start = end;
    }
  }
  return {
    write(written) {
      const entry = { ...written, asked: now++, answered: Number.POSITIVE_INFINITY };
      writes.push(entry);
      return () => (entry.answered = now++);
    },
    flush() {
      const asked = now++;
      return () => flushes.push(asked);
    },
    check(found, loss, where) {
      deepEqual(found.length, base.length);
      for (const { start, end } of segments()) {
        const here = writes.filter(({ offset, length }) => offset < end && start < offset + length);
        const kept = here.filter((write) => isKept(write, loss));
        const isGone = (answered: number) => kept.some(({ asked }) => asked > answered);
        const allowed = new Set(
          here.filter(({ answered }) => !isGone(answered)).map(({ value }) => value),
        );
        const baseAllowed = kept.length === 0;
        for (let at = start; at < end; at++) {
          if (allowed.has(found[at]!) || (baseAllowed && found[at] === base[at])) continue;
          const may = [...allowed, ...(baseAllowed ? [`${base[at]} of the base`] : [])].join(', ');
          throw new Error(`${where}: ${found[at]} at ${at}, which may be ${may}`);
        }
      }
    },
  };
}
