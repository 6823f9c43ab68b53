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
 * The settings in force. A typo must not keep an appliance from serving recoveries: the last valid settings are kept
 * beside the service's other state, and are in force until the file is right again.
 */
export interface SettingsFile {
  /** Rejects FAILED, with the file and the line, or as reading rejects. */
  read(): Promise<Settings>;
  /** If the file is wrong, the last valid settings, with the problem. Rejects as `read` if there are none. */
  readOrLast(): Promise<{ readonly settings: Settings; readonly problem: string | undefined }>;
}

export interface SettingsPlace {
  readonly file: string;
  /** Whether it was named, and so must exist. */
  readonly isNamed: boolean;
  /** The directory of the service's state; undefined: there is none. */
  readonly state: string | undefined;
}

const LAST = 'settings.last.json';
const LENGTH_MAX = 1024 * 1024;

export function settingsFile(
  files: FileSystem,
  { file, isNamed, state }: SettingsPlace,
): SettingsFile {
  const last = state === undefined ? undefined : join(state, LAST);

  /** On a full or read-only disk the copy fails, not the start. */
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

/** The settings of a running service. */
export interface SettingsInForce {
  readonly now: () => Settings;
  /** Reads them again; if they are wrong, the former ones stay in force. Never rejects. */
  reload(): Promise<void>;
  /** Conditions for alarms about the settings. */
  conditions(): Condition[];
}

/** Rejects as `readOrLast`. */
export async function settingsInForce(file: SettingsFile, log: Log): Promise<SettingsInForce> {
  let { settings, problem } = await file.readOrLast();
  const message = (wrong: string): string =>
    `the settings are invalid, and the last valid ones are in force: ${wrong}`;
  if (problem !== undefined) log('error', message(problem));
  return {
    now: () => settings,
    async reload() {
      const { socket, store, nbd } = settings;
      try {
        const next = await file.read();
        for (const name of ['socket', 'store', 'nbd'] as const) {
          if (isDeepStrictEqual(next[name], settings[name])) continue;
          log('warning', `"${name}" keeps its old value until the service restarts`);
        }
        settings = { ...next, socket, store, nbd };
        problem = undefined;
        log('info', 'the settings were read again');
      } catch (cause) {
        problem = asError(cause).message;
        log('error', `the settings were not changed: ${problem}`);
      }
    },
    conditions: () =>
      problem === undefined
        ? []
        : [{ kind: 'settings', level: 'critical', message: message(problem) }],
  };
}

/** Undefined: the work failed. */
async function orUndefined<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    return undefined;
  }
}
