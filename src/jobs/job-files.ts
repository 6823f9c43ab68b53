import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import {
  decodeJob,
  decodeSchedule,
  encodeJob,
  encodeSchedule,
  type JobRecord,
  type ScheduleRecord,
} from '../formats/store/job.ts';
import type { Checks } from '../formats/store/plain-record.ts';
import { utf8 } from '../lib/bytes.ts';
import { turns } from '../lib/turns.ts';
import type { FileSystem } from '../sys/file-system.ts';
import { SystemError } from '../sys/system-error.ts';
import { putDurably } from '../sys/put-durably.ts';
import { JobError } from './job-error.ts';

/** Where jobs and schedules lie: see formats/store/job.md. */
export interface JobFiles {
  putJob(job: JobRecord): Promise<void>;
  jobs(): Promise<Loaded<JobRecord>>;
  removeJob(id: string): Promise<void>;
  /** Adds a line to the job's log, up to a limit; what does not fit is dropped. */
  note(id: string, line: object): Promise<void>;
  /** All lines of the job's log. */
  notes(id: string): Promise<string[]>;
  putSchedule(schedule: ScheduleRecord): Promise<void>;
  schedules(): Promise<Loaded<ScheduleRecord>>;
  removeSchedule(name: string): Promise<void>;
  /** Gives all records a checksum; nothing else is written before `finish` has said in the store that they have one. */
  check(finish: () => Promise<void>): Promise<void>;
}

export interface Loaded<T> {
  readonly records: readonly T[];
  /** What cannot be read, in words. */
  readonly damaged: readonly string[];
}

const RECORD_LENGTH_MAX = 8 * 1024 * 1024;
/** Some thousand lines: more than anyone reads. */
const LOG_LENGTH_MAX = 512 * 1024;
const RECORD = '.json';
const LOG = '.log';

/** Makes the two directories in `directory`, if they are not there. `checksOf`: of the store, as it is now. */
export async function openJobFiles(
  files: FileSystem,
  directory: string,
  checksOf: () => Checks = () => 'unchecked',
): Promise<JobFiles> {
  const jobs = join(directory, 'jobs');
  const schedules = join(directory, 'schedules');
  for (const path of [jobs, schedules]) await files.makeDirectory(path);
  await files.syncDirectory(directory);

  /** What is written and what an upgrade writes again do not meet. */
  const turn = turns();

  async function load<T>(
    from: string,
    decode: (bytes: Uint8Array, checks: Checks) => T,
  ): Promise<Loaded<T>> {
    const records: T[] = [];
    const damaged: string[] = [];
    for (const name of await files.list(from)) {
      if (!name.endsWith(RECORD)) continue;
      const path = join(from, name);
      try {
        records.push(decode(await files.readFile(path, RECORD_LENGTH_MAX), checksOf()));
      } catch (cause) {
        // One that cannot be read is no reason to leave all others, and every guest, lying.
        if (cause instanceof SystemError) damaged.push(cause.message);
        else if (cause instanceof FormatError) damaged.push(`${path}: ${cause.message}`);
        else throw cause;
      }
    }
    return { records, damaged };
  }
  /** One after the other. */
  async function remove(directory: string, names: readonly string[]): Promise<void> {
    for (const path of names.map((name) => join(directory, name))) {
      if (await files.stat(path)) await files.unlink(path);
    }
    // Also where they are gone: that may be from a try whose sync failed.
    await files.syncDirectory(directory);
  }
  return {
    putJob: (job) =>
      turn(() => putDurably(files, join(jobs, job.id + RECORD), encodeJob(job, checksOf()))),
    jobs: () => load(jobs, decodeJob),
    // The record goes last: a log without one would stay forever.
    removeJob: (id) => turn(() => remove(jobs, [id + LOG, id + RECORD])),
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
      turn(() => {
        const path = join(schedules, schedule.name + RECORD);
        return putDurably(files, path, encodeSchedule(schedule, checksOf()));
      }),
    schedules: () => load(schedules, decodeSchedule),
    removeSchedule: (name) => turn(() => remove(schedules, [name + RECORD])),
    check: (finish) =>
      turn(async () => {
        await addChecksums(files, { jobs, schedules });
        await finish();
      }),
  };
}

/** To every record that can be read. */
async function addChecksums(
  files: FileSystem,
  { jobs, schedules }: { readonly jobs: string; readonly schedules: string },
): Promise<void> {
  async function rewrite<T>(
    directory: string,
    decode: (bytes: Uint8Array) => T,
    encode: (record: T, checks: Checks) => Uint8Array,
  ): Promise<void> {
    for (const name of await files.list(directory)) {
      if (!name.endsWith(RECORD)) continue;
      const path = join(directory, name);
      const bytes = await files.readFile(path, RECORD_LENGTH_MAX);
      try {
        await putDurably(files, path, encode(decode(bytes), 'checked'));
      } catch (cause) {
        // What is damaged stays so, and is reported as such.
        if (!(cause instanceof FormatError)) throw cause;
      }
    }
  }
  await rewrite(jobs, decodeJob, encodeJob);
  await rewrite(schedules, decodeSchedule, encodeSchedule);
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Throws IMPOSSIBLE: it becomes a part of file names. */
export function checkScheduleName(name: string): void {
  if (NAME.test(name)) return;
  throw new JobError('IMPOSSIBLE', `"${name}": letters, digits, ".", "_", "-"; at most 64`);
}
