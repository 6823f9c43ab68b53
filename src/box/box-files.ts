import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import {
  BOX_ID_LENGTH,
  BOX_KEY_LENGTH,
  type BoxMemory,
  memoryFile,
} from '../formats/store/service/box.ts';
import { requirePrivate } from '../sys/files/private-files.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { SystemError } from '../sys/base/system-error.ts';
import type { World } from '../sys/world.ts';
import { inTurn, makeOwnDirectory } from './own-directory.ts';

/*
 * The key and the memory of the box on the disk. They are read only on demand, each change is durable before it is
 * answered, and an unreadable memory is never replaced by an empty one without a person's consent.
 */
export interface BoxFiles {
  readonly world: World;
  readonly directory: string;
  load(): Promise<Loaded>;
  /** Rejects FAILED if the memory cannot be read. A missing memory is created. */
  change<T>(step: (whole: Whole) => Promise<Changed<T>>): Promise<T>;
  /** Writes the memory in the middle of a change. Rejects FAILED if it would become too large. */
  put(whole: Whole): Promise<void>;
  /** Moves unreadable files aside for a new memory. */
  putAside(): Promise<void>;
  /** Starts an empty memory with a new key, unless a credential is the key. */
  beginAgain(): Promise<void>;
  prepare(): Promise<void>;
}

export interface Whole {
  readonly kind: 'whole';
  readonly key: Uint8Array;
  readonly memory: BoxMemory;
}

export type Loaded =
  | Whole
  | { readonly kind: 'none'; readonly key: Uint8Array | undefined }
  | { readonly kind: 'damaged'; readonly reason: string };

interface Changed<T> {
  readonly memory: BoxMemory;
  readonly answer: T;
}

export interface BoxOptions {
  readonly directory: string;
  /** The directory in which systemd puts credentials. */
  readonly credentials: string | undefined;
}

/** The systemd credential that replaces the file. */
const BOX_CREDENTIAL = 'holdfast-box-key';
const KEY = 'box.key';
const MEMORY = 'memory.json';
/** See published.ts. */
export const PUBLISHED = 'published';
/** See marked.ts. */
export const MARKED = 'marked';
/** Passkeys of sets: formats/store/catalog/passkey.md. */
const PASSKEYS = 'passkeys';
const MEMORY_LENGTH_MAX = 64 * 1024 * 1024;

/** The file in which the box keeps the passkey of a set. */
export function passkeyPath(
  { directory }: Pick<BoxFiles, 'directory'>,
  { store, set }: { readonly store: string; readonly set: string },
): string {
  // The ID is what a foreign store says.
  return join(directory, PASSKEYS, `${encodeURIComponent(store)}.${set}.json`);
}

export function openBoxFiles(world: World, { directory, credentials }: BoxOptions): BoxFiles {
  const { files, random } = world;
  const keyPath = join(directory, KEY);
  const memoryPath = join(directory, MEMORY);

  async function credential(): Promise<string | undefined> {
    const path = credentials === undefined ? undefined : join(credentials, BOX_CREDENTIAL);
    return path !== undefined && (await files.stat(path)) ? path : undefined;
  }
  async function readKey(): Promise<Uint8Array | undefined> {
    const given = await credential();
    const path = given ?? keyPath;
    if (given === undefined) {
      if (!(await files.stat(path))) return undefined;
      requirePrivate(path);
    }
    const key = await files.readFile(path, BOX_KEY_LENGTH * 2);
    if (key.length === BOX_KEY_LENGTH) return key;
    throw new SystemError('CORRUPT', `${path}: ${key.length} bytes, not ${BOX_KEY_LENGTH}`);
  }
  async function load(): Promise<Loaded> {
    try {
      const key = await readKey();
      if (!(await files.stat(memoryPath))) return { kind: 'none', key };
      const bytes = await files.readFile(memoryPath, MEMORY_LENGTH_MAX);
      if (!key) throw new FormatError('CORRUPT', `its key ${keyPath} is gone`);
      return { kind: 'whole', key, memory: memoryFile.decode(bytes, key) };
    } catch (cause) {
      // An unreadable disk of the box must not prevent a recovery either.
      if (!(cause instanceof SystemError) && !(cause instanceof FormatError)) throw cause;
      const reason = `${memoryPath} cannot be used: ${cause.message}`;
      return { kind: 'damaged', reason };
    }
  }
  const makeDirectory = (): Promise<void> => makeOwnDirectory(world, directory);
  async function locked<T>(work: () => Promise<T>): Promise<T> {
    await makeDirectory();
    return inTurn(world, { directory, holder: 'the memory of the box' }, work);
  }
  async function begin(known: Uint8Array | undefined): Promise<Whole> {
    const key = known ?? random.bytes(BOX_KEY_LENGTH);
    if (!known) await putDurably(files, keyPath, key);
    const box = Buffer.from(random.bytes(BOX_ID_LENGTH)).toString('hex');
    return { kind: 'whole', key, memory: { box, stores: {} } };
  }
  async function put({ memory, key }: Whole): Promise<void> {
    await putDurably(files, memoryPath, encoded(memory, key, memoryPath));
  }
  return {
    ...{ world, directory, load, put, prepare: makeDirectory },
    change: (step) =>
      locked(async () => {
        const loaded = await load();
        if (loaded.kind === 'damaged') throw new SystemError('FAILED', loaded.reason);
        const whole = loaded.kind === 'whole' ? loaded : await begin(loaded.key);
        const { memory, answer } = await step(whole);
        if (memory !== whole.memory || loaded.kind === 'none') await put({ ...whole, memory });
        return answer;
      }),
    putAside: () =>
      locked(async () => {
        const loaded = await load();
        if (loaded.kind !== 'damaged') return;
        for (const path of [memoryPath, keyPath]) {
          if (await files.stat(path)) await files.rename(path, `${path}.damaged`);
        }
        await files.syncDirectory(directory);
      }),
    beginAgain: () =>
      locked(async () => {
        const given = (await credential()) === undefined ? undefined : await readKey();
        // Between the two the memory cannot be read: no order is obeyed then, either.
        await put(await begin(given));
        for (const it of [PUBLISHED, MARKED, PASSKEYS]) await files.removeTree(join(directory, it));
      }),
  };
}

/** Refuses a memory that could not be read again: the memory of all stores would be lost. */
function encoded(memory: BoxMemory, key: Uint8Array, path: string): Uint8Array {
  let problem = `it would have more than ${MEMORY_LENGTH_MAX} bytes`;
  try {
    const bytes = memoryFile.encode(memory, key);
    if (bytes.length <= MEMORY_LENGTH_MAX) return bytes;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    problem = cause.message;
  }
  throw new SystemError('FAILED', `${path} is full and was not changed: ${problem}`);
}
