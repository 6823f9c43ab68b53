import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import { lockdownFile, type LockdownRecord } from '../formats/store/service/alarm.ts';
import type { Checks } from '../formats/store/base/plain-record.ts';
import { turns } from '../lib/mutex.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { SystemError } from '../sys/base/system-error.ts';
import type { World } from '../sys/world.ts';
import { AlarmError } from './alarm-error.ts';

/*
 * While it is on, only what a recovery needs is allowed: stealing an administrator's login does not suffice to delete
 * the backups. Ending it may need two people, who are distinguished by the user ID that the kernel reports.
 */
export interface Lockdown {
  /** Undefined: it is off. */
  state(): LockdownRecord | undefined;
  /** `persons` must approve its end. Rejects IMPOSSIBLE if it is on already. */
  begin(uid: number, persons: number): Promise<LockdownRecord>;
  /**
   * Resolves with the rest of it: undefined, or a record that awaits other approvals. Rejects IMPOSSIBLE if it is
   * off.
   */
  end(uid: number): Promise<LockdownRecord | undefined>;
}

/** The second person must approve within this time, or the first must approve again. */
const AGREE_WITHIN_MS = 60 * 60_000;
const NAME = 'lockdown.json';
const LENGTH_MAX = 4096;

/** Rejects CORRUPT: the state is then unknown. */
export async function readLockdown(
  files: FileSystem,
  directory: string,
): Promise<LockdownRecord | undefined> {
  const path = join(directory, NAME);
  if (!(await files.stat(path))) return undefined;
  try {
    return lockdownFile.decode(await files.readFile(path, LENGTH_MAX));
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new FormatError('CORRUPT', `${path}: ${cause.message}`, { cause });
  }
}

export interface LockdownPlaces {
  /** The directory of the box: this record counts. */
  readonly directory: string;
  /** The store, with a copy for commands without a service; a missing copy never ends a lockdown. */
  readonly store: string;
  /** Whether the copy carries a checksum. */
  readonly checks: () => Checks;
}

/** An unreadable record counts as on: damaging it must not end a lockdown. */
export async function openLockdown(
  { files, clock }: World,
  { directory, store, checks }: LockdownPlaces,
  onTrouble: (message: string) => void,
): Promise<Lockdown> {
  const path = join(directory, NAME);
  const turn = turns();
  let record = await load();

  async function load(): Promise<LockdownRecord | undefined> {
    try {
      return await readLockdown(files, directory);
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      onTrouble(`the lockdown is on, because its record cannot be read: ${cause.message}`);
      return { since: clock.now().toISOString(), uid: 0, persons: 1, approvals: [] };
    }
  }
  async function put(next: LockdownRecord): Promise<LockdownRecord> {
    await putDurably(files, path, lockdownFile.encode(next, 'checked'));
    record = next;
    const copy = lockdownFile.encode(next, checks());
    await copied(() => putDurably(files, join(store, NAME), copy));
    return next;
  }
  async function copied(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      onTrouble(`commands without a service may not see the lockdown: ${cause.message}`);
    }
  }
  return {
    state: () => record,
    begin: (uid, persons) =>
      turn(async () => {
        if (record) throw new AlarmError('IMPOSSIBLE', `the lockdown is on since ${record.since}`);
        return put({ since: clock.now().toISOString(), uid, persons, approvals: [] });
      }),
    end: (uid) =>
      turn(async () => {
        if (!record) throw new AlarmError('IMPOSSIBLE', 'the lockdown is off');
        const approvals = agreed(record, uid, clock.now());
        if (approvals.length < record.persons) return put({ ...record, approvals });
        await files.unlink(path);
        await files.syncDirectory(directory);
        record = undefined;
        await copied(async () => {
          if (!(await files.stat(join(store, NAME)))) return;
          await files.unlink(join(store, NAME));
          await files.syncDirectory(store);
        });
        return undefined;
      }),
  };
}

/** The current approvals: each person counts once, and for a limited time. */
function agreed(
  { approvals }: LockdownRecord,
  uid: number,
  now: Date,
): LockdownRecord['approvals'] {
  const others = approvals.filter((it) => {
    const ageMs = now.getTime() - Date.parse(it.time);
    return it.uid !== uid && ageMs >= 0 && ageMs <= AGREE_WITHIN_MS;
  });
  return [...others, { uid, time: now.toISOString() }];
}
