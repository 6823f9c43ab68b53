import { basename, dirname } from 'node:path/posix';
import { fileLengthMax } from '../../formats/store/catalog/machine.ts';
import { LIBVIRT_ERRORS } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, type LibvirtPool } from '../../formats/wire/libvirt-calls.ts';
import { turns } from '../../lib/mutex.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { element, first, parseXml, textOf, writeXml } from '../base/xml.ts';
import { isNumber } from './libvirt-error.ts';
import type { Link } from './link.ts';

/** Files of the host that belong to machines: libvirt's API of machines does not give them. */
export interface HostFiles {
  /** Rejects HypervisorError: DENIED, NOT_FOUND. */
  read(path: string, reading: Reading): Promise<Uint8Array>;
}

interface Reading {
  /** The machine's UUID. */
  readonly machine: string;
  readonly signal: AbortSignal;
}

const LENGTH_MAX = fileLengthMax('firmware-vars');

/** The host is this machine. */
export function localFiles(files: Pick<FileSystem, 'readFile'>): HostFiles {
  return {
    async read(path) {
      try {
        return await files.readFile(path, LENGTH_MAX);
      } catch (cause) {
        if (!(cause instanceof SystemError)) throw cause;
        const code = cause.code === 'NOT_FOUND' || cause.code === 'DENIED' ? cause.code : 'FAILED';
        throw new HypervisorError(code, cause.message, { cause });
      }
    },
  };
}

/** Through libvirt, wherever it is. */
export function pooledFiles(link: Link, withPool: WithPool): HostFiles {
  return {
    async read(path, { machine, signal }) {
      try {
        return await withPool({ directory: dirname(path), machine, signal }, async (pool) => {
          const name = basename(path);
          const volume = await link.call(LIBVIRT_CALLS.volumeByName, { pool, name }, signal);
          const whole = { volume, offset: 0, length: 0, flags: 0 };
          return link.download(LIBVIRT_CALLS.downloadVolume, whole, {
            ...{ lengthMax: LENGTH_MAX, signal },
          });
        });
      } catch (cause) {
        if (!(cause instanceof HypervisorError)) throw cause;
        const { code, message, native } = cause;
        const words = `libvirt does not give ${path}: ${message}`;
        throw new HypervisorError(code, words, { cause, native });
      }
    },
  };
}

/** What one may not read, the other does. */
export function eitherFiles(files: HostFiles, others: HostFiles): HostFiles {
  return {
    async read(path, reading) {
      try {
        return await files.read(path, reading);
      } catch (cause) {
        if (!(cause instanceof HypervisorError) || cause.code !== 'DENIED') throw cause;
        return others.read(path, reading);
      }
    },
  };
}

const STEADY_TRIES = 10;
const STEADY_PAUSE_MS = 100;

/**
 * The bytes of a file that a machine may be writing: read until two reads find the same, and anything. Rejects as
 * `read` does, and BUSY.
 */
export async function steadyBytes(
  { clock }: { readonly clock: Clock },
  read: () => Promise<Uint8Array>,
  signal: AbortSignal,
): Promise<Uint8Array> {
  let before = await read();
  for (let tries = 1; tries < STEADY_TRIES; tries++) {
    const now = await read();
    if (now.length > 0 && Buffer.compare(before, now) === 0) return now;
    before = now;
    await clock.sleep(STEADY_PAUSE_MS, signal);
  }
  const what = before.length === 0 ? 'its file is empty' : 'its file changes all the time';
  throw new HypervisorError('BUSY', `${what}: back the machine up again`);
}

/*
 * Files of the host that the API of machines does not give are volumes of a pool, if there is one for their directory:
 * libvirt, which is root there, reads and removes them, whatever the way to it. Where there is none, one is made that
 * lasts as long as it is used. It has our mark; one that was left by a connection that broke off is removed by the next
 * use for the same machine.
 */

interface PoolHost {
  readonly link: Link;
  readonly owner: string;
}

interface PoolWish {
  readonly directory: string;
  /** The UUID of the machine for which it is. */
  readonly machine: string;
  readonly signal: AbortSignal;
}

/** libvirt allows one pool for a directory: another backup may make and end its own while we look. */
const TRIES = 10;
const END_MS = 30_000;

/**
 * Calls `use` with a pool of that directory that knows all its present files. Rejects HypervisorError: NOT_FOUND for a
 * directory that is not there, DENIED for an account that may not make pools, CONFLICT for a pool that is not active.
 */
export type WithPool = <T>(wish: PoolWish, use: (pool: LibvirtPool) => Promise<T>) => Promise<T>;

/** One pool at a time: two for the same machine would have the same name. */
export function poolsOf(host: PoolHost): WithPool {
  const inTurn = turns();
  return (wish, use) => inTurn(() => withPool(host, wish, use));
}

async function withPool<T>(
  host: PoolHost,
  wish: PoolWish,
  use: (pool: LibvirtPool) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      const made = await makePool(host, wish);
      if (made) return await whileThere(host, made, use);
      const there = await poolOf(host, wish);
      if (there?.name === nameFor(host, wish)) await destroy(host, there);
      else if (there) return await use(await refreshed(host, there, wish));
    } catch (cause) {
      if (tries === TRIES || !isGone(cause)) throw cause;
    }
    if (tries === TRIES) {
      const message = `other programs make and remove pools for ${wish.directory} all the time`;
      throw new HypervisorError('BUSY', message);
    }
  }
}

/** Another backup has ended the pool that we used. */
function isGone(cause: unknown): boolean {
  return isNumber(cause, LIBVIRT_ERRORS.noPool, LIBVIRT_ERRORS.operationInvalid);
}

const PREFIX = 'holdfast-';

function nameFor({ owner }: PoolHost, { machine }: PoolWish): string {
  return `${PREFIX}${owner}-files-${machine}`;
}

async function whileThere<T>(
  host: PoolHost,
  pool: LibvirtPool,
  use: (pool: LibvirtPool) => Promise<T>,
): Promise<T> {
  try {
    return await use(pool);
  } finally {
    await destroy(host, pool);
  }
}

/** Undefined: there is one already, of that name or for that directory. */
async function makePool(host: PoolHost, wish: PoolWish): Promise<LibvirtPool | undefined> {
  const { directory, signal } = wish;
  const xml = writeXml(
    element(
      'pool',
      { type: 'dir' },
      element('name', {}, nameFor(host, wish)),
      element('target', {}, element('path', {}, directory)),
    ),
  );
  try {
    return await host.link.call(LIBVIRT_CALLS.createPool, { xml, flags: 0 }, signal);
  } catch (cause) {
    if (isNumber(cause, LIBVIRT_ERRORS.operationFailed)) return undefined;
    throw cause;
  }
}

/** What cannot be removed now is removed by the next use for the same machine. */
async function destroy({ link }: PoolHost, pool: LibvirtPool): Promise<void> {
  try {
    await link.call(LIBVIRT_CALLS.destroyPool, { pool }, AbortSignal.timeout(END_MS));
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
  }
}

/** The pool that has that name or that directory; undefined: none has it any longer. */
async function poolOf(host: PoolHost, wish: PoolWish): Promise<LibvirtPool | undefined> {
  const { link } = host;
  const { directory, signal } = wish;
  const { pools } = await link.call(LIBVIRT_CALLS.pools, { wanted: 1, flags: 0 }, signal);
  const ours = pools.find(({ name }) => name === nameFor(host, wish));
  if (ours) return ours;
  for (const pool of pools) {
    const xml = await link.call(LIBVIRT_CALLS.poolXml, { pool, flags: 0 }, signal);
    if (textOf(first(first(parseXml(xml, 'pool'), 'target'), 'path')) === directory) return pool;
  }
  return undefined;
}

/** Another program's: it learns of files that are new. */
async function refreshed(
  { link }: PoolHost,
  pool: LibvirtPool,
  { directory, signal }: PoolWish,
): Promise<LibvirtPool> {
  try {
    await link.call(LIBVIRT_CALLS.refreshPool, { pool, flags: 0 }, signal);
    return pool;
  } catch (cause) {
    const isOther = !pool.name.startsWith(PREFIX);
    if (!isOther || !isNumber(cause, LIBVIRT_ERRORS.operationInvalid)) throw cause;
    throw new HypervisorError(
      'CONFLICT',
      `the pool "${pool.name}" has the directory ${directory}, and is not active: start it on the hypervisor ` +
        `("virsh pool-start ${pool.name}") or remove it`,
      { cause, native: cause.native },
    );
  }
}
