import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import {
  jobFile,
  scheduleFile,
  type JobRecord,
  type ScheduleRecord,
} from '../formats/store/service/job.ts';
import type { Checks } from '../formats/store/base/plain-record.ts';
import type { Order, StoreMemory } from '../box/store-memory.ts';
import { utf8 } from '../lib/bytes.ts';
import { turns } from '../lib/mutex.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { JobError } from './job-error.ts';
import { hasEnded } from './job-state.ts';
import { isName } from '../formats/store/base/names.ts';

/** The files of jobs and schedules: see formats/store/service/job.md. */
export interface JobFiles {
  putJob(job: JobRecord): Promise<void>;
  jobs(): Promise<Loaded<JobRecord>>;
  removeJob(id: string): Promise<void>;
  /** Adds a line to the job's log, up to a limit; further lines are dropped. */
  note(id: string, line: object): Promise<void>;
  /** All lines of the job's log. */
  notes(id: string): Promise<string[]>;
  putSchedule(schedule: ScheduleRecord): Promise<void>;
  schedules(): Promise<Loaded<ScheduleRecord>>;
  removeSchedule(name: string): Promise<void>;
  /** Adds checksums to all records; nothing else is written before `finish` has recorded that in the store. */
  check(finish: () => Promise<void>): Promise<void>;
}

export interface Loaded<T> {
  readonly records: readonly T[];
  /** Orders of another box, or altered ones: shown, but not obeyed until a person adopts them. */
  readonly foreign: readonly T[];
  /** Unreadable records, in words. */
  readonly damaged: readonly string[];
}

const RECORD_LENGTH_MAX = 8 * 1024 * 1024;
/** Some thousand lines: more than people read. */
const LOG_LENGTH_MAX = 512 * 1024;
/** As many as this box accepts of its own. An attacker can forge as many as the disk can hold. */
const FOREIGN_MAX = 1000;
const RECORD = '.json';
const LOG = '.log';

export interface JobFilesOptions {
  readonly memory: StoreMemory;
  /** Whether the store's records carry checksums now; default: they do not. */
  readonly checksOf?: () => Checks;
}

/** The two directories in `directory` are created with the first record, if they are missing. */
export async function openJobFiles(
  files: FileSystem,
  directory: string,
  { memory, checksOf = () => 'unchecked' }: JobFilesOptions,
): Promise<JobFiles> {
  const jobs = join(directory, 'jobs');
  const schedules = join(directory, 'schedules');
  let isMade = false;
  async function makeDirectories(): Promise<void> {
    if (isMade) return;
    for (const path of [jobs, schedules]) await files.makeDirectory(path);
    await files.syncDirectory(directory);
    isMade = true;
  }

  /** Keeps writes and the rewrites of an upgrade apart. */
  const turn = turns();
  /** Orders that the box knows already, as text. */
  const remembered = new Map<string, string>();
  /** Writes a record of an order. While it is written, the record before it is still one of this box. */
  async function ordered(order: Order, write: () => Promise<void>): Promise<void> {
    const key = `${order.kind}/${order.name}`;
    const known = JSON.stringify(order.order);
    if (remembered.get(key) === known) return write();
    await memory.remember([order]);
    await write();
    await memory.settle([order]);
    remembered.set(key, known);
  }
  async function forget(kind: Order['kind'], name: string): Promise<void> {
    remembered.delete(`${kind}/${name}`);
    await memory.forget([{ kind, name }]);
  }
  async function load<T>(from: string, kind: Omit<Kind<T>, 'isOurs'>): Promise<Loaded<T>> {
    return loaded(files, from, { ...kind, isOurs: (await memory.look()).isOurs });
  }
  /** Removes files one after the other. */
  async function remove(directory: string, names: readonly string[]): Promise<void> {
    for (const path of names.map((name) => join(directory, name))) {
      if (await files.stat(path)) await files.unlink(path);
    }
    // Even if they are gone already: an earlier try may have failed to sync.
    await files.syncDirectory(directory);
  }
  return {
    putJob: (job) =>
      turn(async () => {
        await makeDirectories();
        const put = () =>
          putDurably(files, join(jobs, job.id + RECORD), jobFile.encode(job, checksOf()));
        await (hasEnded(job) ? put() : ordered(jobOrder(job), put));
        // From now on a record that says that it waits is an old one that was put back.
        if (hasEnded(job)) await forget('job', job.id);
      }),
    jobs: () =>
      load(jobs, {
        decode: (bytes) => jobFile.decode(bytes, checksOf()),
        nameOf: ({ id }) => id,
        orderOf: (job) => (hasEnded(job) ? undefined : jobOrder(job)),
      }),
    removeJob: (id) =>
      turn(async () => {
        await forget('job', id);
        // The record goes last: a log without one would stay forever.
        await remove(jobs, [id + LOG, id + RECORD]);
      }),
    async note(id, line) {
      const path = join(jobs, id + LOG);
      const exists = (await files.stat(path)) !== undefined;
      await using file = exists ? await files.open(path, 'write') : await files.create(path);
      const bytes = utf8(`${JSON.stringify(line)}\n`);
      const size = await file.size();
      if (size + bytes.length <= LOG_LENGTH_MAX) await file.write(bytes, size);
    },
    async notes(id) {
      const path = join(jobs, id + LOG);
      if (!(await files.stat(path))) return [];
      const text = Buffer.from(await files.readFile(path, LOG_LENGTH_MAX)).toString('utf8');
      return text.split('\n').filter((line) => line !== '');
    },
    putSchedule: (schedule) =>
      turn(async () => {
        await makeDirectories();
        const path = join(schedules, schedule.name + RECORD);
        await ordered(scheduleOrder(schedule), () =>
          putDurably(files, path, scheduleFile.encode(schedule, checksOf())),
        );
      }),
    schedules: () =>
      load(schedules, {
        decode: (bytes) => scheduleFile.decode(bytes, checksOf()),
        nameOf: ({ name }) => name,
        orderOf: scheduleOrder,
      }),
    removeSchedule: (name) =>
      turn(async () => {
        await forget('schedule', name);
        await remove(schedules, [name + RECORD]);
      }),
    check: (finish) =>
      turn(async () => {
        await addChecksums(files, { jobs, schedules });
        await finish();
      }),
  };
}

interface Kind<T> {
  readonly decode: (bytes: Uint8Array) => T;
  readonly nameOf: (record: T) => string;
  /** Undefined: the record no longer orders anything. */
  readonly orderOf: (record: T) => Order | undefined;
  readonly isOurs: (order: Order) => boolean;
}

async function loaded<T>(
  files: FileSystem,
  from: string,
  { decode, nameOf, orderOf, isOurs }: Kind<T>,
): Promise<Loaded<T>> {
  const records: T[] = [];
  const foreign: T[] = [];
  const damaged: string[] = [];
  let ignored = 0;
  for (const name of (await files.stat(from)) ? await files.list(from) : []) {
    if (!name.endsWith(RECORD)) continue;
    const path = join(from, name);
    try {
      const record = decode(await files.readFile(path, RECORD_LENGTH_MAX));
      // Under another name it would be a second one, or replace the first.
      const own = nameOf(record);
      if (own + RECORD !== name) throw new FormatError('CORRUPT', `it is the record of "${own}"`);
      const order = orderOf(record);
      if (!order || isOurs(order)) records.push(record);
      else if (foreign.length < FOREIGN_MAX) foreign.push(record);
      else ignored++;
    } catch (cause) {
      // An unreadable record must not stop all others, and every guest.
      if (cause instanceof SystemError) damaged.push(leftOut(cause.message));
      else if (cause instanceof FormatError) damaged.push(leftOut(`${path}: ${cause.message}`));
      else throw cause;
    }
  }
  if (ignored > 0) {
    const what = `${ignored} more orders that this box did not give, and ignores`;
    damaged.push(`${from}: ${what}: remove the files that should not be there`);
  }
  return { records, foreign, damaged };
}

function leftOut(problem: string): string {
  return `${problem}; this order is left out: put the file back from a copy, or remove it`;
}

/** Adds checksums to every readable record. */
async function addChecksums(
  files: FileSystem,
  { jobs, schedules }: { readonly jobs: string; readonly schedules: string },
): Promise<void> {
  /** Undefined: the record is damaged. It stays so, and is reported when records are loaded. */
  async function readable<T>(path: string, decode: (bytes: Uint8Array) => T) {
    try {
      return decode(await files.readFile(path, RECORD_LENGTH_MAX));
    } catch (cause) {
      if (cause instanceof FormatError || cause instanceof SystemError) return undefined;
      throw cause;
    }
  }
  async function rewrite<T>(
    directory: string,
    decode: (bytes: Uint8Array) => T,
    encode: (record: T, checks: Checks) => Uint8Array,
  ): Promise<void> {
    for (const name of (await files.stat(directory)) ? await files.list(directory) : []) {
      if (!name.endsWith(RECORD)) continue;
      const path = join(directory, name);
      const record = await readable(path, decode);
      if (record) await putDurably(files, path, encode(record, 'checked'));
    }
  }
  await rewrite(jobs, jobFile.decode, jobFile.encode);
  await rewrite(schedules, scheduleFile.decode, scheduleFile.encode);
}

/** The fields of a job that decide what is done. */
export function jobOrder({ id, kind, request, schedule }: JobRecord): Order {
  return { kind: 'job', name: id, order: { id, kind, request, schedule } };
}

export function scheduleOrder({ name, at, kind, request, paused }: ScheduleRecord): Order {
  // Absent otherwise: earlier releases knew no other schedules.
  const isPaused = paused !== undefined || undefined;
  return { kind: 'schedule', name, order: { name, at, kind, request, isPaused } };
}

/** Throws IMPOSSIBLE for invalid names: the name becomes a part of file names. */
export function checkScheduleName(name: string): void {
  if (isName(name)) return;
  throw new JobError('IMPOSSIBLE', `"${name}": letters, digits, ".", "_", "-"; at most 64`);
}
