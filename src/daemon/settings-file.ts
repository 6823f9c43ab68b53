import { join } from 'node:path/posix';
import { isDeepStrictEqual } from 'node:util';
import type { Condition } from '../alarms/alarm-state.ts';
import { asError } from '../lib/as-error.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { SystemError } from '../sys/base/system-error.ts';
import type { Log } from './log.ts';
import { readSettings, type Settings, settingsIn } from './settings.ts';

/*
 * The settings as they are in force. A typo must not keep an appliance from serving recoveries: what the file said when
 * it was right is kept beside what else the service keeps, and is in force until the file is right again.
 */
export interface SettingsFile {
  /** Rejects FAILED, with the file and the line, and what reading rejects. */
  read(): Promise<Settings>;
  /** Where the file is wrong, what it said before, with what is wrong. Rejects as `read` where that is not known. */
  readOrLast(): Promise<{ readonly settings: Settings; readonly problem: string | undefined }>;
}

export interface SettingsPlace {
  readonly file: string;
  /** Whether it was named, and so has to be there. */
  readonly isNamed: boolean;
  /** Where the service keeps what it remembers; undefined: nowhere. */
  readonly state: string | undefined;
}

const LAST = 'settings.last.json';
const LENGTH_MAX = 1024 * 1024;

export function settingsFile(
  files: FileSystem,
  { file, isNamed, state }: SettingsPlace,
): SettingsFile {
  const last = state === undefined ? undefined : join(state, LAST);

  /** A disk that is full or read-only costs the copy, not the start. */
  async function keep(settings: Settings): Promise<void> {
    if (last === undefined) return;
    const bytes = Buffer.from(`${JSON.stringify(settings, undefined, 2)}\n`);
    const kept = await orUndefined(() => files.readFile(last, LENGTH_MAX));
    if (kept && Buffer.compare(kept, bytes) === 0) return;
    await orUndefined(() => putDurably(files, last, bytes));
  }
  async function read(): Promise<Settings> {
    const settings = await (isNamed ? readSettings : settingsIn)(files, file);
    await keep(settings);
    return settings;
  }
  return {
    read,
    async readOrLast() {
      try {
        return { settings: await read(), problem: undefined };
      } catch (cause) {
        if (!(cause instanceof SystemError) || last === undefined) throw cause;
        const settings = await orUndefined(() => readSettings(files, last));
        if (!settings) throw cause;
        return { settings, problem: asError(cause).message };
      }
    },
  };
}

/** The settings of a service that runs. */
export interface SettingsInForce {
  readonly now: () => Settings;
  /** Reads them again; where they are wrong, those that were stay in force. Never rejects. */
  reload(): Promise<void>;
  /** What people have to know about them. */
  conditions(): Condition[];
}

/** Rejects as `readOrLast`. */
export async function settingsInForce(file: SettingsFile, log: Log): Promise<SettingsInForce> {
  let { settings, problem } = await file.readOrLast();
  const message = (wrong: string): string =>
    `the settings are wrong, and the last that were right are in force: ${wrong}`;
  if (problem !== undefined) log('error', message(problem));
  return {
    now: () => settings,
    async reload() {
      const { socket, store, nbd } = settings;
      try {
        const next = await file.read();
        for (const name of ['socket', 'store', 'nbd'] as const) {
          if (isDeepStrictEqual(next[name], settings[name])) continue;
          log('warning', `"${name}" stays as it was until the service is started again`);
        }
        settings = { ...next, socket, store, nbd };
        problem = undefined;
        log('info', 'the settings are read again');
      } catch (cause) {
        problem = asError(cause).message;
        log('error', `the settings stay as they were: ${problem}`);
      }
    },
    conditions: () =>
      problem === undefined
        ? []
        : [{ kind: 'settings', level: 'critical', message: message(problem) }],
  };
}

/** Undefined: the world does not let it. */
async function orUndefined<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    return undefined;
  }
}
