import type { JobKind, JobRecord } from '../formats/store/service/job.ts';
import type { JsonObject } from '../lib/schema.ts';
import { turns } from '../lib/mutex.ts';
import { SystemError } from '../sys/base/system-error.ts';
import type { World } from '../sys/world.ts';
import { JobError } from './job-error.ts';
import type { JobFiles } from './job-files.ts';
import { found, hasEnded } from './job-state.ts';

/*
 * All jobs, in memory and on the disk, and their listeners. Each change is on the disk before it is announced, and
 * changes happen one after the other.
 */
export interface JobBook {
  readonly jobs: ReadonlyMap<string, JobRecord>;
  /** Jobs in the store that are not obeyed. */
  foreign(): readonly JobRecord[];
  /** Obeys these from now on: the box knows them. */
  adopt(records: readonly JobRecord[]): Promise<void>;
  /** Once this resolves the job survives a crash. An existing ID changes nothing. Rejects FULL. */
  add(draft: JobDraft): Promise<JobRecord>;
  /** Removes a job that is not obeyed; undefined: there is none with that ID. */
  decline(id: string): Promise<JobRecord | undefined>;
  /** Changes the job by `step`. Rejects NOT_FOUND. */
  change(id: string, step: (job: JobRecord) => JobRecord): Promise<JobRecord>;
  /** The same for a person's request: if it cannot be written, rejects and changes nothing. */
  decide(id: string, step: (job: JobRecord) => JobRecord): Promise<JobRecord>;
  /** Throws NOT_FOUND. */
  find(id: string): JobRecord;
  /** Sends an event to the job's log, and to listeners. */
  tell(id: string, event: JobEvent): void;
  /** Returns the function that stops listening. */
  listen(id: string, hear: (event: JobEvent) => void): () => void;
  notes(id: string): Promise<string[]>;
  /** Forgets the oldest ended jobs. */
  trim(): Promise<void>;
  /** As in JobQueue. */
  keepNewestOf(isSchedule: IsSchedule): void;
  /** Retries writes that failed. */
  catchUp(): Promise<void>;
  /** Resolves once all writes are done. */
  settled(): Promise<void>;
}

export interface JobDraft {
  /** Default: a new one. */
  readonly id?: string;
  readonly kind: JobKind;
  readonly request: JsonObject;
  readonly schedule?: string;
}

export interface JobProgress {
  readonly event: 'progress';
  readonly phase: string;
  readonly position: number;
  readonly total: number;
}

export type JobEvent = JobProgress | { readonly event: 'notice'; readonly message: string };

export type IsSchedule = (name: string) => boolean;

export interface BookOptions {
  readonly world: World;
  readonly files: JobFiles;
  readonly onChange: (job: JobRecord) => void;
  /** Called for the administrator: a record cannot be read or written. */
  readonly onTrouble: (message: string) => void;
}

/** The most waiting jobs; a schedule has at most one. */
const WAITING_MAX = 1000;
/** Ended jobs kept for people to look at, besides two of each schedule. */
const HISTORY_MAX = 1000;
const RANDOM_LENGTH = 3;

export async function openBook({
  world,
  files,
  onChange,
  onTrouble,
}: BookOptions): Promise<JobBook> {
  const { clock } = world;
  const jobs = new Map<string, JobRecord>();
  const audiences = listening();
  const turn = turns();
  let isSchedule: IsSchedule = () => true;

  const { put, tryPut, ...notes } = noting(files, onTrouble);

  async function changed(
    id: string,
    step: (job: JobRecord) => JobRecord,
    write: (job: JobRecord) => Promise<void>,
  ): Promise<JobRecord> {
    const job = find(id);
    const next = step(job);
    if (next === job) return job;
    await write(next);
    jobs.set(id, next);
    onChange(next);
    tell(id, { event: 'notice', message: words(next) });
    return next;
  }
  function find(id: string): JobRecord {
    const job = jobs.get(id);
    if (job) return job;
    throw notOurs(id, strangers.has(id));
  }
  function tell(id: string, event: JobEvent): void {
    audiences.tell(id, event);
    if (event.event === 'progress') return;
    const line = { time: clock.now().toISOString(), message: event.message };
    // If the log cannot be written, neither can the record, which reports it.
    turn(() => files.note(id, line)).catch(() => {});
  }
  async function take(record: JobRecord): Promise<JobRecord> {
    const job = found(record, clock.now());
    if (job !== record) await tryPut(job);
    jobs.set(job.id, job);
    return job;
  }
  const { records, damaged, foreign } = await files.jobs();
  const strangers = new Map(foreign.map((job) => [job.id, job]));
  for (const reason of damaged) onTrouble(reason);
  for (const record of records) await take(record);
  return {
    ...{ jobs, find, tell },
    foreign: () => [...strangers.values()],
    adopt: (records) => turn(() => adoptAll(records, { strangers, take, onChange })),
    decline: (id) => turn(() => declined(id, strangers, files)),
    add: (draft) =>
      turn(async () => {
        const job = newJob(world, draft);
        const there = jobs.get(job.id);
        if (there) return there;
        const waiting = [...jobs.values()].filter(({ state }) => state === 'waiting').length;
        if (waiting >= WAITING_MAX) {
          throw new JobError('FULL', `${waiting} jobs wait already: cancel some`);
        }
        try {
          await files.putJob(job);
        } catch (cause) {
          // The file may exist without a durable name: a refused job must not run after the next start.
          await files.removeJob(job.id).catch(() => {});
          throw cause;
        }
        strangers.delete(job.id);
        jobs.set(job.id, job);
        onChange(job);
        return job;
      }),
    change: (id, step) => turn(() => changed(id, step, tryPut)),
    decide: (id, step) => turn(() => changed(id, step, put)),
    listen: audiences.listen,
    async notes(id) {
      find(id);
      return turn(() => files.notes(id));
    },
    trim: () =>
      turn(async () => {
        for (const { id } of forgettable(jobs, isSchedule).slice(0, -HISTORY_MAX)) {
          if (!(await removed(id, files, onTrouble))) return;
          jobs.delete(id);
          notes.forget(id);
        }
      }),
    keepNewestOf: (is) => void (isSchedule = is),
    async catchUp() {
      if (notes.areBehind()) await turn(() => notes.catchUp(find));
    },
    settled: () => turn(async () => {}),
  };
}

function listening(): Pick<JobBook, 'tell' | 'listen'> {
  const audiences = new Map<string, Set<(event: JobEvent) => void>>();
  return {
    tell(id, event) {
      for (const hear of audiences.get(id) ?? []) hear(event);
    },
    listen(id, hear) {
      const audience = audiences.get(id) ?? new Set();
      audiences.set(id, audience);
      audience.add(hear);
      return () => {
        audience.delete(hear);
        if (audience.size === 0) audiences.delete(id);
      };
    },
  };
}

/** If it cannot be removed it stays, which is reported. */
async function removed(
  id: string,
  files: JobFiles,
  onTrouble: BookOptions['onTrouble'],
): Promise<boolean> {
  try {
    await files.removeJob(id);
    return true;
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    onTrouble(`job ${id} cannot be forgotten: ${cause.message}`);
    return false;
  }
}

function notOurs(id: string, isStranger: boolean): JobError {
  if (!isStranger) return new JobError('NOT_FOUND', `there is no job "${id}": see "job list"`);
  const how = `"holdfast store adopt" shows it, "holdfast job cancel ${id}" removes it`;
  const message = `job ${id} is not adopted, because this box did not order it: ${how}`;
  return new JobError('IMPOSSIBLE', message);
}

async function declined(
  id: string,
  strangers: Map<string, JobRecord>,
  files: JobFiles,
): Promise<JobRecord | undefined> {
  const job = strangers.get(id);
  if (job) await files.removeJob(id);
  strangers.delete(id);
  return job;
}

async function adoptAll(
  records: readonly JobRecord[],
  {
    strangers,
    take,
    onChange,
  }: {
    readonly strangers: Map<string, JobRecord>;
    readonly take: (record: JobRecord) => Promise<JobRecord>;
    readonly onChange: BookOptions['onChange'];
  },
): Promise<void> {
  for (const record of records) {
    if (strangers.delete(record.id)) onChange(await take(record));
  }
}

/**
 * A schedule's newest job, and its newest success, show whether it works: they stay as long as the schedule exists.
 * Jobs of removed schedules do not stay: endless names would mean an endless history.
 */
function forgettable(jobs: ReadonlyMap<string, JobRecord>, isSchedule: IsSchedule): JobRecord[] {
  const ended = byEnd([...jobs.values()].filter(hasEnded));
  const newest = new Map<string, JobRecord>();
  for (const job of ended) {
    if (job.schedule === undefined || !isSchedule(job.schedule)) continue;
    newest.set(job.schedule, job);
    if (job.state === 'done') newest.set(`${job.schedule} done`, job);
  }
  const kept = new Set(newest.values());
  return ended.filter((job) => !kept.has(job));
}

/** Writes records, and knows the jobs whose records on the disk are out of date. */
function noting(files: JobFiles, onTrouble: BookOptions['onTrouble']) {
  const behind = new Set<string>();

  /** If it rejects, it is tried again. */
  async function put(job: JobRecord): Promise<void> {
    behind.add(job.id);
    await files.putJob(job);
    behind.delete(job.id);
  }
  return {
    put,
    /** A failed write must not lose the job: until it succeeds the record in memory counts. */
    async tryPut(job: JobRecord): Promise<void> {
      try {
        await put(job);
      } catch (cause) {
        if (!(cause instanceof SystemError)) throw cause;
        onTrouble(`job ${job.id} cannot be recorded as ${job.state}: ${cause.message}`);
      }
    },
    areBehind: () => behind.size > 0,
    forget: (id: string) => void behind.delete(id),
    async catchUp(find: (id: string) => JobRecord): Promise<void> {
      try {
        for (const id of behind) await put(find(id));
      } catch (cause) {
        // The first failure was reported.
        if (!(cause instanceof SystemError)) throw cause;
      }
    },
  };
}

function newJob({ clock, random }: World, { id, kind, request, schedule }: JobDraft): JobRecord {
  const created = clock.now().toISOString();
  const tail = Buffer.from(random.bytes(RANDOM_LENGTH)).toString('hex');
  return {
    id: id ?? `${kind}-${compactTime(created)}-${tail}`,
    ...{ kind, request, schedule, created, state: 'waiting', canceling: undefined },
    ...{ failures: 0, deaths: 0, notBefore: undefined, started: undefined, ended: undefined },
    ...{ reason: undefined, result: undefined },
  };
}

/** `20261121T180000Z`. */
export function compactTime(time: string): string {
  return time.replace(/[-:]/g, '').replace(/\.\d+/, '');
}

export function byAge(jobs: Iterable<JobRecord>): JobRecord[] {
  return [...jobs].sort((a, b) => (a.created < b.created ? -1 : a.created > b.created ? 1 : 0));
}

/** In order of their ends: a job that took days may be the newest. */
function byEnd(jobs: readonly JobRecord[]): JobRecord[] {
  const endOf = ({ ended = '' }: JobRecord): string => ended;
  return [...jobs].sort((a, b) => (endOf(a) < endOf(b) ? -1 : endOf(a) > endOf(b) ? 1 : 0));
}

function words({ state, canceling, reason, notBefore }: JobRecord): string {
  const what = canceling === true ? 'being canceled' : state;
  const why = reason === undefined ? '' : `: ${reason}`;
  return `${what}${why}${notBefore === undefined ? '' : `; again at ${notBefore}`}`;
}
