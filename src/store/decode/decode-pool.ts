import type { Clock } from '../../sys/base/clock.ts';
import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import { startWorker, type WorkerThread } from '../../sys/process/worker-thread.ts';
import { JOBS_MAX, type RingSender, ringMemory, ringSender } from './decode-ring.ts';
import type { DecodeWorkerData, DomainMessage } from './decode-worker.ts';
import {
  type DecodeJob,
  type DecodeOutcome,
  type Decoder,
  inlineDecoder,
  type Priority,
} from './decoder.ts';
import type { PackStore } from '../packs/pack-store.ts';

export interface DecodePoolOptions {
  readonly arena: SharedArrayBuffer;
  readonly packs: Pick<PackStore, 'read'>;
  /** The store's `packs`, which each worker opens itself. */
  readonly directory: string;
  readonly workers: number;
  readonly clock: Clock;
  /** Default: threads of decode-worker.ts. */
  readonly start?: (data: DecodeWorkerData) => Thread;
}

type Thread = WorkerThread<DomainMessage, 'ready'>;

/** By then a client has its first byte, and will soon want more. */
const START_AFTER_MS = 100;

interface Waiting {
  readonly job: DecodeJob;
  readonly priority: Priority;
  readonly resolve: (outcome: DecodeOutcome) => void;
}

/**
 * Decodes in worker threads. Until the first of them has started this thread does the work, so that no reader waits
 * for a start. A worker that dies is replaced, and this thread redoes its job: a guest waits a moment longer, and
 * sees no error.
 */
export function decodePool(options: DecodePoolOptions): Decoder {
  const { arena, packs, directory, workers, clock, start = startDecodeWorker } = options;
  const inline = inlineDecoder(arena, packs);
  const ring = ringMemory();
  const sender = ringSender(ring);
  const jobs = jobTable(sender);
  const domains: DomainKeys[] = [];
  const threads: Thread[] = [];
  let ready = 0;
  let alive = 0;
  let closing = false;

  function decodeHere({ job, priority, resolve }: Waiting): void {
    inline.decode(job, priority).then(resolve, () => resolve('failed'));
  }
  function startThread(worker: number): void {
    const thread: Thread = start({ ring, arena, packs: directory, worker });
    let started = false;
    alive++;
    thread.onMessage = () => {
      started = true;
      ready++;
    };
    thread.onFailure = () => {
      if (closing) return;
      alive--;
      if (started) {
        ready--;
        jobs.takenBy(worker).forEach(decodeHere);
        startThread(worker);
      } else if (alive === 0) {
        // A worker that cannot even start would fail forever: this thread continues alone, with all pending jobs.
        jobs.all().forEach(decodeHere);
      }
    };
    domains.forEach((keys, domain) => thread.post({ domain, keys }));
    threads[worker] = thread;
  }
  /** Starts with the first work, or a moment later: starting at once would delay the first byte. */
  function startAll(): void {
    if (threads.length > 0) return;
    for (let worker = 0; worker < workers; worker++) startThread(worker);
  }

  const soon = new AbortController();
  clock.sleep(START_AFTER_MS, soon.signal).then(startAll, () => {});

  return {
    domain(keys) {
      const domain = inline.domain(keys);
      domains[domain] = keys;
      for (const thread of threads) thread.post({ domain, keys });
      return domain;
    },
    decode(job, priority) {
      // No worker is left to take it.
      if (closing) return Promise.resolve('failed');
      startAll();
      if (ready === 0) return inline.decode(job, priority);
      return jobs.add(job, priority);
    },
    async [Symbol.asyncDispose]() {
      closing = true;
      soon.abort();
      sender.stop();
      await Promise.all(threads.map((thread) => thread[Symbol.asyncDispose]()));
      for (const { resolve } of jobs.all()) resolve('failed');
    },
  };
}

function startDecodeWorker(data: DecodeWorkerData): Thread {
  return startWorker(new URL('./decode-worker.ts', import.meta.url), data);
}

/** Numbers for jobs, their waiting callers, and the one loop that looks for completions. */
function jobTable(sender: RingSender) {
  const running = new Map<number, Waiting>();
  const free = Array.from({ length: JOBS_MAX }, (_, job) => job);
  const queue: Waiting[] = [];
  let watching = false;
  let isOver = false;

  function submit(waiting: Waiting): void {
    const job = free.pop();
    if (job === undefined) {
      queue.push(waiting);
      return;
    }
    running.set(job, waiting);
    sender.submit(job, waiting.job, waiting.priority);
  }
  function end(job: number, waiting: Waiting, outcome: DecodeOutcome): void {
    running.delete(job);
    free.push(job);
    waiting.resolve(outcome);
  }
  function collect(): void {
    for (const [job, waiting] of running) {
      const outcome = sender.outcome(job);
      if (outcome) end(job, waiting, outcome);
    }
    while (queue.length > 0 && free.length > 0) submit(queue.shift()!);
  }
  async function watch(): Promise<void> {
    watching = true;
    for (;;) {
      const seen = sender.completed();
      collect();
      if (running.size === 0 || isOver) break;
      await sender.moreThan(seen);
    }
    watching = false;
  }
  return {
    add(job: DecodeJob, priority: Priority): Promise<DecodeOutcome> {
      return new Promise((resolve) => {
        submit({ job, priority, resolve });
        if (!watching) void watch();
      });
    },
    /** Removes and returns the jobs that a dead worker had taken. */
    takenBy(worker: number): readonly Waiting[] {
      collect();
      const taken = [...running].filter(([job]) => sender.owner(job) === worker);
      for (const [job] of taken) {
        running.delete(job);
        free.push(job);
      }
      collect();
      return taken.map(([, waiting]) => waiting);
    },
    /** Removes and returns all jobs, once no worker is left; from then on none is accepted. */
    all(): readonly Waiting[] {
      collect();
      isOver = true;
      const left = [...running.values(), ...queue.splice(0)];
      running.clear();
      return left;
    },
  };
}
