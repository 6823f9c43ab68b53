import { dirname, join } from 'node:path/posix';
import { integer, list, object, parse, type Schema, SchemaError, text } from '../../lib/schema.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { HostError } from '../base/host-error.ts';
import { networkdFiles, NETWORKD_PREFIX } from './networkd-files.ts';
import { type NetworkPlan, parsePlan } from './network-plan.ts';
import { locked, lockPath, STATE_DIRECTORY } from '../base/state-lock.ts';

/*
 * All files that define the network: the plan, and networkd's files. Together they are a state, which is saved and
 * restored as a whole: before a change the old state goes into PENDING, durably, and as long as that file exists the
 * change is not confirmed. Whichever process finds it when its time is up, or when the machine starts, restores the
 * old state; doing that twice has the same result as doing it once.
 */
export interface NetworkPlaces {
  /** The directory of networkd's files. */
  readonly units: string;
  readonly plan: string;
  readonly pending: string;
  readonly lock: string;
}

export const NETWORK_PLACES: NetworkPlaces = {
  units: '/etc/systemd/network',
  plan: '/etc/holdfast/network.json',
  pending: join(STATE_DIRECTORY, 'network-pending.json'),
  lock: lockPath('network'),
};

export type NetworkState = readonly StateFile[];

interface StateFile {
  readonly path: string;
  readonly text: string;
}

/** The state to restore. */
export interface PendingChange {
  readonly version: number;
  /** The change, in words. */
  readonly what: string;
  /** When it is rolled back: milliseconds since 1970. */
  readonly untilMs: number;
  readonly before: NetworkState;
  /** Addresses set by hand, which only the kernel knew. */
  readonly byHand: readonly ByHand[];
}

export interface ByHand {
  readonly interface: string;
  readonly addresses: readonly string[];
  readonly routes: readonly { readonly to: string; readonly via: string }[];
}

const FILE_LENGTH_MAX = 1024 * 1024;
/** Limit for all files of a plan together, as JSON; PENDING has room for these and for what was set by hand. */
const STATE_LENGTH_MAX = FILE_LENGTH_MAX;
const PENDING_LENGTH_MAX = 4 * FILE_LENGTH_MAX;
const FILES_MAX = 256;
const MANY = 256;
const long = text({ max: FILE_LENGTH_MAX, min: 0 });

/** The file's version; another one is refused by name. */
const VERSION = 1;

const STATE_FILES = list(object({ path: long, text: long }), FILES_MAX);

const PENDING: Schema<PendingChange> = object({
  version: integer(VERSION, VERSION),
  what: long,
  untilMs: integer(0, Number.MAX_SAFE_INTEGER),
  before: STATE_FILES,
  byHand: list(
    object({
      interface: long,
      addresses: list(long, MANY),
      routes: list(object({ to: long, via: long }), MANY),
    }),
    MANY,
  ),
});

export function networkFiles(files: FileSystem, places: NetworkPlaces) {
  const inUnits = async (): Promise<string[]> => {
    if (!(await files.stat(places.units))) return [];
    const names = await files.list(places.units);
    const own = names.filter((it) => it.startsWith(NETWORKD_PREFIX) && !it.endsWith('.tmp'));
    return own.map((it) => join(places.units, it));
  };
  const readText = async (path: string, max = FILE_LENGTH_MAX): Promise<string> =>
    Buffer.from(await files.readFile(path, max)).toString('utf8');

  async function state(): Promise<NetworkState> {
    const paths = [...(await inUnits()), ...((await files.stat(places.plan)) ? [places.plan] : [])];
    const found: StateFile[] = [];
    for (const path of paths) found.push({ path, text: await readText(path) });
    return found;
  }
  /** Writes these files and removes all others. */
  async function put(wanted: NetworkState): Promise<void> {
    await files.makeDirectory(places.units, 'shared');
    for (const { path, text } of wanted) {
      await putDurably(files, path, Buffer.from(text, 'utf8'), 'shared');
    }
    for (const path of await inUnits()) {
      if (!wanted.some((it) => it.path === path)) await files.unlink(path);
    }
    const isPlanless = !wanted.some(({ path }) => path === places.plan);
    if (isPlanless && (await files.stat(places.plan))) {
      await files.unlink(places.plan);
      await files.syncDirectory(dirname(places.plan));
    }
    await files.syncDirectory(places.units);
  }
  /** The plan in a state; empty if there is none. Throws CORRUPT. */
  function planIn(of: NetworkState): NetworkPlan {
    const text = of.find(({ path }) => path === places.plan)?.text;
    if (text === undefined) return { interfaces: [] };
    return parsed(places.plan, text, parsePlan);
  }
  return {
    state,
    put,
    planIn,
    /** The present plan; empty if it cannot be read: that must not lock the administrator out. */
    async planNow(): Promise<NetworkPlan> {
      try {
        return planIn(await state());
      } catch (cause) {
        if (cause instanceof HostError || cause instanceof SystemError) return { interfaces: [] };
        throw cause;
      }
    },
    /** Throws REFUSED for a plan that could not be read again, or not be restored. */
    stateOf(plan: NetworkPlan): NetworkState {
      const what = 'this network plan cannot be stored';
      checkReadable(what, plan, { parse: parsePlan, max: FILE_LENGTH_MAX });
      const units = [...networkdFiles(plan)].map(([name, text]) => ({
        path: join(places.units, name),
        text,
      }));
      const text = `${JSON.stringify(plan, undefined, 2)}\n`;
      const made = [...units, { path: places.plan, text }];
      const parseFiles = (it: unknown) => parse(STATE_FILES, it);
      checkReadable(what, made, { parse: parseFiles, max: STATE_LENGTH_MAX });
      return made;
    },
    async pending(): Promise<PendingChange | undefined> {
      if (!(await files.stat(places.pending))) return undefined;
      return parsed(
        places.pending,
        await readText(places.pending, PENDING_LENGTH_MAX),
        parsePending,
      );
    },
    /** Throws REFUSED for a state that could not be read again: it could not be restored. */
    pendingOf(given: Omit<PendingChange, 'version'>): PendingChange {
      const pending = { version: VERSION, ...given };
      checkReadable('the present state could not be restored', pending, {
        ...{ parse: parsePending, max: PENDING_LENGTH_MAX },
      });
      return pending;
    },
    async begin(pending: PendingChange): Promise<void> {
      await putDurably(files, places.pending, Buffer.from(JSON.stringify(pending), 'utf8'));
    },
    /** From now on the present state stays. */
    async end(): Promise<void> {
      await files.unlink(places.pending);
      await files.syncDirectory(dirname(places.pending));
    },
    /** Rejects BUSY if another process is changing it. */
    locked: <T>(work: () => Promise<T>): Promise<T> =>
      locked(files, { path: places.lock, holder: 'holdfast network' }, work),
  };
}

export type NetworkFiles = ReturnType<typeof networkFiles>;

function parsePending(value: unknown): PendingChange {
  return parse(PENDING, value);
}

/** Reads what is about to be written as it will be read later: now it can still be refused. `max`: bytes as JSON. */
function checkReadable(
  what: string,
  value: unknown,
  { parse, max }: { readonly parse: (value: unknown) => unknown; readonly max: number },
): void {
  const text = JSON.stringify(value);
  const length = Buffer.byteLength(text, 'utf8');
  const refuse = (why: string, options?: ErrorOptions): never => {
    throw new HostError(
      'REFUSED',
      `${what}: ${why}. Nothing was changed: use fewer settings`,
      options,
    );
  };
  if (length > max) refuse(`${length} bytes, where ${max} can be read`);
  try {
    parse(JSON.parse(text));
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    refuse(cause.message, { cause });
  }
}

function parsed<T>(path: string, source: string, parse: (value: unknown) => T): T {
  try {
    return parse(JSON.parse(source));
  } catch (cause) {
    if (!(cause instanceof SchemaError) && !(cause instanceof SyntaxError)) throw cause;
    throw new HostError(
      'CORRUPT',
      `${path}: ${cause.message}; "network reset" starts again from defaults`,
      {
        cause,
      },
    );
  }
}
