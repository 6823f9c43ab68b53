import type { JobKind, JobRecord } from '../formats/store/service/job.ts';
import type { World } from '../sys/world.ts';
import {
  type BookOptions,
  byAge,
  type IsSchedule,
  type JobDraft,
  type JobEvent,
  type JobProgress,
  openBook,
} from './job-book.ts';
import { JobError } from './job-error.ts';
import { ticker } from '../sys/base/ticker.ts';
import { begun, canceled, DELAY_MAX_MS, ended, hasEnded, type Outcome } from './job-state.ts';

/*
 * Works through the jobs, in each lane one after the other. A job is durable before it is acknowledged, and stays
 * until it has ended, even if the service dies in the meantime. The work of each kind of job is not known here.
 */
export interface JobQueue extends AsyncDisposable {
  /** Once this resolves the job survives a crash. An existing ID changes nothing. Rejects FULL. */
  submit(draft: JobDraft): Promise<JobRecord>;
  /** Newest first. */
  list(): JobView[];
  /** Jobs in the store that are not obeyed. */
  foreign(): readonly JobRecord[];
  /** Obeys these from now on: the box knows them. */
  adopt(records: readonly JobRecord[]): Promise<void>;
  /** Throws NOT_FOUND. */
  show(id: string): JobView;
  /** The job's log, one JSON object per line. */
  notes(id: string): Promise<string[]>;
  /**
   * Cancels a job. Rejects IMPOSSIBLE if it has ended; as the disk fails if that cannot be recorded. A running one is
   * asked to end, and does not run again; `attend` tells when it is over.
   */
  cancel(id: string): Promise<JobRecord>;
  /** Reports the progress of a job until it has ended, or until `signal`. */
  attend(id: string, report: (event: JobEvent) => void, signal: AbortSignal): Promise<JobView>;
  /** Tries jobs now that wait for something that was away. */
  wake(): void;
  /** Keeps the newest job of each existing schedule, and its newest success; without this call, of any name. */
  keepNewestOf(isSchedule: IsSchedule): void;
  /** Begins to work: until then jobs are only accepted. */
  start(): void;
}

export interface JobView {
  readonly job: JobRecord;
  readonly progress: JobProgress | undefined;
}

export interface QueueOptions extends BookOptions {
  /** Does the work. Rejects only for bugs of our own. */
  readonly attempt: (job: JobRecord, options: AttemptOptions) => Promise<Outcome>;
  /** The lane of a kind of job: each lane runs one job at a time. */
  readonly laneOf: (kind: JobKind) => string;
}

export interface AttemptOptions {
  readonly signal: AbortSignal;
  readonly report: (event: JobEvent) => void;
}

/** The clock may be set in the meantime. */
const SLEEP_MAX_MS = 60_000;

export async function openQueue(options: QueueOptions): Promise<JobQueue> {
  const { clock } = options.world;
  const book = await openBook(options);
  const workers = workersOf(options, book);
  return {
    show: (id) => workers.view(book.find(id)),
    list: () => byAge(book.jobs.values()).toReversed().map(workers.view),
    foreign: book.foreign,
    async adopt(records) {
      await book.adopt(records);
      workers.look();
    },
    notes: (id) => book.notes(id),
    async submit(draft) {
      const job = await book.add(draft);
      workers.look();
      return job;
    },
    async cancel(id) {
      const stranger = await book.decline(id);
      if (stranger) return ended(stranger, { kind: 'canceled' }, clock.now());
      const job = book.find(id);
      if (hasEnded(job)) throw new JobError('IMPOSSIBLE', `job ${id} is ${job.state} already`);
      try {
        return await book.decide(id, (job) => canceled(job, clock.now()));
      } finally {
        // Even if that cannot be recorded: this job may have filled the disk.
        workers.stop(id);
      }
    },
    async attend(id, report, signal) {
      book.find(id);
      const over = Promise.withResolvers<void>();
      const leave = (): void => over.resolve();
      const look = (): void => {
        const job = book.jobs.get(id);
        if (!job || hasEnded(job)) leave();
      };
      const leaving = AbortSignal.any([signal, workers.closing]);
      leaving.addEventListener('abort', leave, { once: true });
      if (leaving.aborted) leave();
      const stopListening = book.listen(id, (event) => {
        report(event);
        look();
      });
      look();
      await over.promise;
      stopListening();
      return workers.view(book.find(id));
    },
    wake: () => workers.look('what waits too'),
    keepNewestOf: book.keepNewestOf,
    start: () => workers.start(),
    async [Symbol.asyncDispose]() {
      await workers[Symbol.asyncDispose]();
      await book.catchUp();
      await book.settled();
    },
  };
}

interface Active {
  readonly lane: string;
  readonly stop: AbortController;
  progress: JobProgress | undefined;
}

interface Workers extends AsyncDisposable {
  readonly closing: AbortSignal;
  view(job: JobRecord): JobView;
  /** Looks for jobs that may begin now. */
  look(what?: 'what waits too'): void;
  stop(id: string): void;
  start(): void;
}

function workersOf(
  { world, attempt, laneOf }: QueueOptions & { readonly world: World },
  book: Awaited<ReturnType<typeof openBook>>,
): Workers {
  const { clock } = world;
  const active = new Map<string, Active>();
  const runs = new Set<Promise<void>>();
  const closing = new AbortController();
  /** Jobs woken since something came back, and not begun yet: they need not wait for their time. */
  let woken = new Set<string>();

  async function run(id: string, it: Active): Promise<void> {
    const signal = AbortSignal.any([it.stop.signal, closing.signal]);
    const job = await book.change(id, (job) =>
      job.state === 'waiting' && !signal.aborted ? begun(job, clock.now()) : job,
    );
    if (job.state !== 'running') return;
    const outcome = await attempt(job, {
      signal,
      report(event) {
        if (event.event === 'progress') it.progress = event;
        book.tell(id, event);
      },
    });
    await book.change(id, (job) =>
      ended(job, interrupted(job, outcome, it) ?? outcome, clock.now()),
    );
    await book.trim();
  }
  /** Whether an attempt failed because it was canceled or stopped. */
  function interrupted(
    { canceling }: JobRecord,
    { kind }: Outcome,
    { stop }: Active,
  ): Outcome | undefined {
    if (kind !== 'failed') return undefined;
    if (canceling === true || stop.signal.aborted) return { kind: 'canceled' };
    return closing.signal.aborted ? { kind: 'stopped' } : undefined;
  }
  /** Begins the jobs that may begin, and returns when to look again. */
  function begin(): number {
    const now = clock.now().getTime();
    let soonest = SLEEP_MAX_MS;
    for (const { id, kind, state, notBefore } of byAge(book.jobs.values())) {
      if (state !== 'waiting' || active.has(id)) continue;
      const ahead = notBefore === undefined || woken.has(id) ? 0 : Date.parse(notBefore) - now;
      if (ahead > 0 && ahead <= DELAY_MAX_MS) {
        soonest = Math.min(soonest, ahead);
        continue;
      }
      const lane = laneOf(kind);
      if ([...active.values()].some((it) => it.lane === lane)) continue;
      const it: Active = { lane, stop: new AbortController(), progress: undefined };
      active.set(id, it);
      woken.delete(id);
      const work: Promise<void> = run(id, it).finally(() => {
        active.delete(id);
        runs.delete(work);
        ticks.wake();
      });
      runs.add(work);
    }
    return soonest;
  }
  const ticks = ticker(clock, async () => {
    await book.catchUp();
    return begin();
  });
  return {
    closing: closing.signal,
    view: (job) => ({ job, progress: active.get(job.id)?.progress }),
    look(what) {
      if (what !== undefined) woken = new Set(book.jobs.keys());
      ticks.wake();
    },
    stop: (id) => active.get(id)?.stop.abort(new JobError('IMPOSSIBLE', 'the job was canceled')),
    start: () => ticks.start(),
    async [Symbol.asyncDispose]() {
      closing.abort(new JobError('IMPOSSIBLE', 'the service is stopping'));
      await ticks[Symbol.asyncDispose]();
      while (runs.size > 0) await Promise.all(runs);
    },
  };
}
