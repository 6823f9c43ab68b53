import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import {
  type AlarmKind,
  type AlarmRecord,
  ALARMS_MAX,
  alarmsFile,
} from '../formats/store/service/alarm.ts';
import type { Checks } from '../formats/store/base/plain-record.ts';
import { turns } from '../lib/mutex.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { SystemError } from '../sys/base/system-error.ts';
import type { World } from '../sys/world.ts';
import { AlarmError } from './alarm-error.ts';
import {
  acknowledged,
  type AlarmNews,
  compared,
  type Condition,
  gone,
  raised,
  type Step,
  stands,
} from './alarm-state.ts';

/** The alarms, in memory and on the disk. */
export interface AlarmBook {
  /** Newest first, including those that have ended. */
  list(): AlarmRecord[];
  raise(condition: Condition): Promise<void>;
  /** Ends an alarm whose cause has gone; does nothing if there is none. */
  clear(id: string): Promise<void>;
  /** `conditions` are all present causes for alarms of these kinds. */
  compare(kinds: readonly AlarmKind[], conditions: readonly Condition[]): Promise<void>;
  /** Rejects NOT_FOUND. */
  acknowledge(id: string, uid: number): Promise<AlarmRecord>;
}

export interface AlarmBookOptions {
  readonly world: World;
  /** The directory of the store. */
  readonly directory: string;
  readonly checks: () => Checks;
  /** Called before the change is durable: people must be notified, even if only after a crash. */
  readonly onNews: (news: AlarmNews) => Promise<void>;
  /** Called when the alarms themselves cannot be written or read. */
  readonly onTrouble: (message: string) => void;
}

const NAME = 'alarms.json';
const LENGTH_MAX = 32 * 1024 * 1024;

export async function openAlarmBook(options: AlarmBookOptions): Promise<AlarmBook> {
  const { world, directory, checks, onNews, onTrouble } = options;
  const { files, clock } = world;
  const path = join(directory, NAME);
  const turn = turns();
  let alarms = await load();
  let noted = alarms;
  const leftOut = new Set<string>();

  async function load(): Promise<readonly AlarmRecord[]> {
    try {
      return await readAlarms(files, directory);
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      // Present causes will be found again; only acknowledgments are lost.
      onTrouble(`${path}: ${cause.message}`);
      return [];
    }
  }
  /** Runs in its turn. A change that cannot be written still counts, and is written with the next change. */
  async function take(step: Step): Promise<void> {
    const isNew = step.alarms !== alarms;
    tellLeftOut(step);
    for (const news of step.news) await onNews(news);
    ({ alarms } = step);
    if (noted === alarms) return;
    try {
      await putDurably(files, path, alarmsFile.encode({ alarms }, checks()));
      noted = alarms;
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      // Reported once: the check runs every half minute.
      if (isNew) onTrouble(`alarms cannot be recorded: ${cause.message}`);
    }
  }
  /** Reports each once, until there is room again: the check runs every half minute. */
  function tellLeftOut(step: Step): void {
    if (step.alarms.length < ALARMS_MAX || leftOut.size >= ALARMS_MAX) leftOut.clear();
    for (const { id, message } of step.leftOut) {
      if (!leftOut.has(id)) onTrouble(`there is no room for alarm ${id}: ${message}`);
      leftOut.add(id);
    }
  }
  return {
    list: () => [...alarms].sort((a, b) => (a.changed > b.changed ? -1 : 1)),
    raise: (condition) => turn(() => take(raised(alarms, condition, clock.now()))),
    clear: (id) => turn(() => take(gone(alarms, id, clock.now()))),
    compare: (kinds, conditions) =>
      turn(() => take(compared(alarms, { kinds, conditions }, clock.now()))),
    acknowledge: (id, uid) =>
      turn(async () => {
        const step = acknowledged(alarms, { id, uid }, clock.now());
        if (!step)
          throw new AlarmError('NOT_FOUND', `there is no open alarm "${id}": see "alarm list"`);
        await take(step);
        return step.news[0]!.alarm;
      }),
  };
}

/** Reads the alarms in the store. Rejects FormatError. */
async function readAlarms(files: FileSystem, directory: string): Promise<readonly AlarmRecord[]> {
  const path = join(directory, NAME);
  if (!(await files.stat(path))) return [];
  return alarmsFile.decode(await files.readFile(path, LENGTH_MAX)).alarms;
}

/** The open alarms of a kind in the store: for work that must stop while one is open. Rejects FormatError. */
export async function standingAlarms(
  files: FileSystem,
  directory: string,
  kind: AlarmKind,
): Promise<readonly AlarmRecord[]> {
  return (await readAlarms(files, directory)).filter((it) => it.kind === kind && stands(it));
}
