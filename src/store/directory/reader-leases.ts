import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import {
  decodeHeldRoots,
  encodeHeldRoots,
  HELD_ROOTS_LENGTH_MAX,
} from '../../formats/store/catalog/held-roots.ts';
import type { File, FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Obstacle, Root } from './roots.ts';
import type { Store } from './store.ts';

/*
 * What processes read at this moment: `leases/readers/ID.json` with the roots, open in its process with a lock on one
 * byte, which the kernel ends with the process, however that ends (fcntl(2), "Open file description locks"; Node opens
 * files so that no program which it starts inherits them). A lease whose byte is free has lost its process: the
 * next process that looks removes it. Nothing is synced: after a power cut no process reads any longer.
 *
 * A reader first takes its lease, and only then looks whether its recovery point is still published (catalog's
 * `holdPoint`). A sweep holds the store's lock, under which no point is published, and lists first the points, then
 * the leases. Either it finds the lease; or the lease is younger than that list, so the reader looks later still, and
 * finds a point that the sweep has listed, or learns that it was forgotten. Forgetting needs no place in that order.
 *
 * The name is given once the byte is locked and the contents are written, and an ID is never taken twice. So a lease
 * without its lock will never have one again, and removing it cannot hit another.
 */

const ID_LENGTH = 8;
const SUFFIX = '.json';
const HALF_MADE = '.tmp';
/** The byte of a lease that its reader holds, and of `packs` that a reader without a lease holds. */
const HELD = 0;
/** What killed readers left and a new one removes: more are removed by the next one, and by a sweep. */
const LOOKED_AT_MAX = 32;

function readersDirectory({ directory }: Store): string {
  return join(directory, 'leases', 'readers');
}

/**
 * Keeps what these roots need until disposed, or until this process ends in any way. Call it before it is found out
 * that their recovery point is published, or while another lease names them. `holder`: for people.
 */
export async function holdRoots(
  store: Store,
  roots: readonly Root[],
  holder: string,
): Promise<AsyncDisposable> {
  try {
    return await writtenLease(store, encodeHeldRoots({ holder, roots }));
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    return holdAll(store);
  }
}

async function writtenLease(store: Store, bytes: Uint8Array): Promise<AsyncDisposable> {
  const { files, random } = store;
  const directory = readersDirectory(store);
  await refuseLinkTo(files, directory);
  await files.makeDirectory(directory);
  const path = join(directory, Buffer.from(random.bytes(ID_LENGTH)).toString('hex'));
  const half = path + HALF_MADE;
  await using stack = new AsyncDisposableStack();
  const file = stack.use(await files.create(half));
  // Also after the rename: under one of the two names, or under none if another process has removed it.
  stack.defer(async () => {
    for (const name of [half, path + SUFFIX]) await files.unlink(name).catch(ignoreFailure);
  });
  // Where the file system has no such locks, every lease counts as held, and no sweep removes anything.
  if (!file.holdByte(HELD)) throw new SystemError('FAILED', `${half} cannot be locked`);
  await file.write(bytes, 0);
  await files.rename(half, path + SUFFIX);
  const names = await files.list(directory);
  for (const name of names.slice(0, LOOKED_AT_MAX)) await removeIfFree(files, directory, name);
  const owned = stack.move();
  return { [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/**
 * For a reader that cannot write its lease: on a full disk, a read-only one, or one of another user. A lock needs no
 * room, and no right but to read. It names no roots, so a sweep removes nothing while it is held.
 */
async function holdAll({ files, directory }: Store): Promise<AsyncDisposable> {
  const packs = await files.open(join(directory, 'packs'), 'read');
  packs.holdByte(HELD);
  return packs;
}

/** The files of leases must not lie elsewhere. Rejects INVALID. */
async function refuseLinkTo(files: FileSystem, readers: string): Promise<void> {
  const leases = join(readers, '..');
  const isLink = (await files.links(join(leases, '..'))).includes('leases');
  if (!isLink && !(await files.links(leases)).includes('readers')) return;
  throw new SystemError('INVALID', `${readers} is a symbolic link, or below one`);
}

/**
 * The roots that any process holds now, in these domains. Removes leases whose processes have ended. `obstacles`: a
 * lease that cannot be read, and a reader without one, hold back every domain.
 */
export async function heldRoots(
  store: Store,
  domains: Iterable<string>,
): Promise<{ readonly roots: Root[]; readonly obstacles: Obstacle[] }> {
  const { files } = store;
  const directory = readersDirectory(store);
  const roots: Root[] = [];
  const obstacles: Obstacle[] = [];
  const all = [...domains];
  const holdBack = (where: string, what: string): void => {
    for (const domain of all) obstacles.push({ domain, where, what });
  };
  const packs = join(store.directory, 'packs');
  if (await isHeld(files, packs)) {
    holdBack(packs, 'a process that cannot write its lease to this store reads from it');
  }
  const names = (await files.stat(directory)) ? await files.list(directory) : [];
  for (const name of names) {
    if (await removeIfFree(files, directory, name)) continue;
    const where = join(directory, name);
    try {
      roots.push(...decodeHeldRoots(await files.readFile(where, HELD_ROOTS_LENGTH_MAX)).roots);
    } catch (cause) {
      // It has just been released, or got its name: then its reader has still to look for its recovery point.
      if (cause instanceof SystemError && cause.code === 'NOT_FOUND') continue;
      const isKnown = cause instanceof FormatError || cause instanceof SystemError;
      if (!isKnown) throw cause;
      if (!name.endsWith(HALF_MADE)) holdBack(where, cause.message);
    }
  }
  return { roots, obstacles };
}

/** Removes a lease without a process. False: it has one. */
async function removeIfFree(files: FileSystem, directory: string, name: string): Promise<boolean> {
  const path = join(directory, name);
  if (await isHeld(files, path)) return false;
  await files.unlink(path).catch(ignoreFailure);
  return true;
}

async function isHeld(files: FileSystem, path: string): Promise<boolean> {
  let file: File;
  try {
    file = await files.open(path, 'read');
  } catch (cause) {
    // A name that has gone; one that cannot be looked at may be held.
    if (cause instanceof SystemError) return cause.code !== 'NOT_FOUND';
    throw cause;
  }
  await using _open = file;
  return file.isByteHeld(HELD) !== false;
}

/** The file may have gone; one that cannot be removed is removed by another process, or stays: it holds nothing. */
function ignoreFailure(cause: unknown): void {
  if (!(cause instanceof SystemError)) throw cause;
}
