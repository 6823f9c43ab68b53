import { assert } from '../../lib/assert.ts';
import { DIGEST_LENGTH } from '../../formats/store/base/digest.ts';
import type { DecodeJob, DecodeOutcome, Priority } from './decoder.ts';

/*
 * Jobs for decode workers in shared memory: posting a message for each block would cost more than
 * decoding it. Two rings of job numbers, guest before background, and a table of jobs; workers sleep on
 * a counter (futex) and take numbers by compare-and-swap, the main thread sleeps on another.
 */
export const JOBS_MAX = 512;

const SUBMITTED = 0;
const COMPLETED = 1;
const STOP = 2;
/**
 * Number of workers that sleep, or are about to: waking one is a call into the kernel, and mostly all are awake. A
 * worker that goes to sleep first says so and then looks once more: either the sender sees it, or it sees the new
 * job. The same protocol applies to WAITING.
 */
const SLEEPING = 7;
/** 1: the main thread waits for the next completion. */
const WAITING = 8;
const HEADS = { guest: 3, background: 5 } as const satisfies Record<Priority, number>;
const TAILS = { guest: 4, background: 6 } as const satisfies Record<Priority, number>;
const RINGS = { guest: 9, background: 9 + JOBS_MAX } as const satisfies Record<Priority, number>;
const TABLE = 9 + 2 * JOBS_MAX;
/** state, owner, domain, pack, offset, length, place, plain length, digest. */
const FIELDS = 8 + DIGEST_LENGTH / 4;
const RING_LENGTH = 4 * (TABLE + JOBS_MAX * FIELDS);

const QUEUED = 1;
const OUTCOMES: readonly DecodeOutcome[] = ['decoded', 'corrupt', 'missing', 'failed'];
const FIRST_OUTCOME = 2;

export function ringMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(RING_LENGTH);
}

/** The main thread's side. `job` is a free number below JOBS_MAX, chosen by the caller. */
export interface RingSender {
  submit(job: number, what: DecodeJob, priority: Priority): void;
  /** The outcome, if the job has one; its number is then free again. */
  outcome(job: number): DecodeOutcome | undefined;
  /** The worker that took it; -1: none. */
  owner(job: number): number;
  /** Completions so far: read it before looking for outcomes, then wait on it. */
  completed(): number;
  /** Resolves once there are more completions than `seen`. */
  moreThan(seen: number): Promise<void>;
  stop(): void;
}

export function ringSender(memory: SharedArrayBuffer): RingSender {
  const ints = new Int32Array(memory);
  const bytes = new Uint8Array(memory);
  return {
    submit(job, what, priority) {
      const at = TABLE + job * FIELDS;
      ints[at + 1] = -1;
      ints[at + 2] = what.domain;
      ints[at + 3] = what.pack;
      ints[at + 4] = what.offset;
      ints[at + 5] = what.length;
      ints[at + 6] = what.place;
      ints[at + 7] = what.plainLength;
      bytes.set(what.digest, (at + 8) * 4);
      Atomics.store(ints, at, QUEUED);
      const tail = ints[TAILS[priority]]!;
      ints[RINGS[priority] + (tail & (JOBS_MAX - 1))] = job;
      Atomics.store(ints, TAILS[priority], (tail + 1) | 0);
      Atomics.add(ints, SUBMITTED, 1);
      if (Atomics.load(ints, SLEEPING) > 0) Atomics.notify(ints, SUBMITTED, 1);
    },
    outcome(job) {
      const state = Atomics.load(ints, TABLE + job * FIELDS);
      return OUTCOMES[state - FIRST_OUTCOME];
    },
    owner: (job) => Atomics.load(ints, TABLE + job * FIELDS + 1),
    completed: () => Atomics.load(ints, COMPLETED),
    async moreThan(seen) {
      Atomics.store(ints, WAITING, 1);
      const wait = Atomics.waitAsync(ints, COMPLETED, seen);
      if (wait.async) await wait.value;
    },
    stop() {
      Atomics.store(ints, STOP, 1);
      Atomics.add(ints, SUBMITTED, 1);
      Atomics.notify(ints, SUBMITTED);
      Atomics.notify(ints, COMPLETED);
    },
  };
}

/** A worker's side. */
export interface RingReceiver {
  /** The next job; blocks this thread until there is one. Undefined: stop. */
  take(): number | undefined;
  job(number: number): DecodeJob;
  complete(number: number, outcome: DecodeOutcome): void;
}

export function ringReceiver(memory: SharedArrayBuffer, worker: number): RingReceiver {
  const ints = new Int32Array(memory);
  const bytes = new Uint8Array(memory);

  function takeFrom(priority: Priority): number {
    for (;;) {
      const head = Atomics.load(ints, HEADS[priority]);
      if (head === Atomics.load(ints, TAILS[priority])) return -1;
      const job = Atomics.load(ints, RINGS[priority] + (head & (JOBS_MAX - 1)));
      const next = (head + 1) | 0;
      if (Atomics.compareExchange(ints, HEADS[priority], head, next) === head) return job;
    }
  }
  return {
    take() {
      for (;;) {
        const seen = Atomics.load(ints, SUBMITTED);
        if (Atomics.load(ints, STOP) === 1) return undefined;
        let job = takeFrom('guest');
        if (job < 0) job = takeFrom('background');
        if (job >= 0) {
          Atomics.store(ints, TABLE + job * FIELDS + 1, worker);
          return job;
        }
        Atomics.add(ints, SLEEPING, 1);
        Atomics.wait(ints, SUBMITTED, seen);
        Atomics.sub(ints, SLEEPING, 1);
      }
    },
    job(number) {
      const at = TABLE + number * FIELDS;
      return {
        domain: ints[at + 2]!,
        pack: ints[at + 3]! >>> 0,
        offset: ints[at + 4]! >>> 0,
        length: ints[at + 5]! >>> 0,
        place: ints[at + 6]! >>> 0,
        plainLength: ints[at + 7]!,
        digest: bytes.slice((at + 8) * 4, (at + 8) * 4 + DIGEST_LENGTH),
      };
    },
    complete(number, outcome) {
      const state = OUTCOMES.indexOf(outcome) + FIRST_OUTCOME;
      assert(state >= FIRST_OUTCOME, outcome);
      Atomics.store(ints, TABLE + number * FIELDS, state);
      Atomics.add(ints, COMPLETED, 1);
      if (Atomics.exchange(ints, WAITING, 0) === 1) Atomics.notify(ints, COMPLETED);
    },
  };
}
