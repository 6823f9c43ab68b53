import { join } from 'node:path/posix';
import { isName } from '../formats/store/base/names.ts';
import { FormatError } from '../formats/format-error.ts';
import {
  decodeHypervisor,
  encodeHypervisor,
  type HypervisorRecord,
} from '../formats/store/service/hypervisor.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { requirePrivate, requirePrivateDirectory } from '../sys/files/private-files.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import type { World } from '../sys/world.ts';
import { type BoxEnvironment, stateDirectory, userDirectory } from './box-directory.ts';
import { inTurn, makeOwnDirectory } from './own-directory.ts';
import { type HeldRestores, holdRestores } from './restore-records.ts';

/*
 * The hypervisors that this box manages, and our keys for them: outside of every store, because a person who
 * can write to a store must not be able to send us to another hypervisor. Grammar: formats/store/service/hypervisor.md.
 */
export interface HypervisorFiles {
  /** By name. Those whose record cannot be read are listed apart. */
  list(): Promise<ListedHypervisors>;
  /** Rejects NOT_FOUND, CORRUPT, and DENIED if others may change its files. */
  get(name: string): Promise<HypervisorRecord>;
  /** `key`: our private key for it, and the certificate, if it has one. Rejects EXISTS. */
  add(record: HypervisorRecord, key: string | undefined): Promise<void>;
  /**
   * `step` gets the record as it is now, and returns the next. `key`: one that takes the place of ours. Rejects as
   * `get` does.
   */
  change(
    name: string,
    step: (record: HypervisorRecord) => HypervisorRecord,
    key?: string,
  ): Promise<HypervisorRecord>;
  /** Also one whose record cannot be read. Rejects NOT_FOUND. */
  remove(name: string): Promise<void>;
  /** What `ssh` needs to reach it. Rejects DENIED if others may read or change the files, NOT_FOUND without a key. */
  sshFiles(record: HypervisorRecord): Promise<SshFiles>;
  /** Restores to it. Rejects BUSY while another process restores to it. */
  restores(name: string): Promise<HeldRestores>;
  /** Our key and its certificate, in PEM. Rejects DENIED if others may read or change them, NOT_FOUND. */
  tlsKey(record: HypervisorRecord): Promise<Uint8Array>;
}

interface ListedHypervisors {
  readonly records: readonly HypervisorRecord[];
  readonly damaged: readonly { readonly path: string; readonly reason: string }[];
}

/** Paths. The host key is listed under the name of the hypervisor (ssh_config(5), HostKeyAlias). */
export interface SshFiles {
  readonly key: string;
  readonly knownHosts: string;
}

export interface HypervisorFilesOptions {
  readonly directory: string;
  /** The directory in which systemd puts credentials. */
  readonly credentials: string | undefined;
}

export interface HypervisorEnvironment extends BoxEnvironment {
  readonly XDG_CONFIG_HOME?: string | undefined;
}

const RECORD = '.json';
const KEY = '.key';
const KNOWN_HOSTS = '.known_hosts';
/** A name in front of it is that of a systemd credential with the private key. */
const CREDENTIAL = 'holdfast-hypervisor-';
const LENGTH_MAX = 64 * 1024;

/** The service's are in the memory of the box, a user's in the user's configuration. */
function hypervisorDirectory(env: HypervisorEnvironment): string {
  return join(stateDirectory(env) ?? userDirectory(env.XDG_CONFIG_HOME, '.config'), 'hypervisors');
}

/** Those of this process. Reads no file. Throws FAILED if the environment names no directory. */
export function ownHypervisorFiles(world: World): HypervisorFiles {
  const { env } = process;
  return openHypervisorFiles(world, {
    directory: hypervisorDirectory(env),
    credentials: env['CREDENTIALS_DIRECTORY'],
  });
}

export function openHypervisorFiles(
  world: World,
  { directory, credentials }: HypervisorFilesOptions,
): HypervisorFiles {
  const { files } = world;
  const pathOf = (name: string, suffix: string): string => join(directory, `${name}${suffix}`);
  const { get, list } = readerOf(files, directory);
  async function put(record: HypervisorRecord): Promise<void> {
    await putDurably(files, pathOf(record.name, RECORD), encodeHypervisor(record));
  }
  async function locked<T>(work: () => Promise<T>): Promise<T> {
    await makeOwnDirectory(world, directory);
    requirePrivateDirectory(directory);
    return inTurn(world, { directory, holder: 'the list of hypervisors' }, work);
  }
  async function keyOf(name: string): Promise<string> {
    const credential = credentials && join(credentials, `${CREDENTIAL}${name}`);
    if (credential !== undefined && (await files.stat(credential))) return credential;
    const path = pathOf(name, KEY);
    if (!(await files.stat(path))) {
      const advice = `remove the hypervisor and add it again ("holdfast hypervisor remove ${name}")`;
      throw new SystemError('NOT_FOUND', `our key for "${name}", ${path}, is gone: ${advice}`);
    }
    requirePrivate(path);
    return path;
  }
  return {
    get,
    list,
    add: (record, key) =>
      locked(async () => {
        const { name } = record;
        if (await files.stat(pathOf(name, RECORD))) {
          const advice = `"holdfast hypervisor change ${name}" changes it`;
          throw new SystemError('EXISTS', `there is a hypervisor "${name}": ${advice}`);
        }
        if (key !== undefined) await putDurably(files, pathOf(name, KEY), Buffer.from(key));
        await put(record);
      }),
    change: (name, step, key) =>
      locked(async () => {
        const next = step(await get(name));
        if (key !== undefined) await putDurably(files, pathOf(name, KEY), Buffer.from(key));
        await put(next);
        return next;
      }),
    remove: (name) =>
      locked(async () => {
        if (!isName(name) || !(await files.stat(pathOf(name, RECORD)))) {
          throw missing(name, directory);
        }
        // The record goes first: half of a hypervisor is none.
        for (const suffix of [RECORD, KEY, KNOWN_HOSTS]) {
          const path = pathOf(name, suffix);
          if (await files.stat(path)) await files.unlink(path);
        }
        await files.syncDirectory(directory);
      }),
    restores: (hypervisor) =>
      holdRestores(world, { directory: join(directory, 'restores'), hypervisor }),
    tlsKey: async ({ name }) => files.readFile(await keyOf(name), LENGTH_MAX),
    async sshFiles({ name, identity }) {
      const key = await keyOf(name);
      const knownHosts = pathOf(name, KNOWN_HOSTS);
      const lines = Buffer.from(identity?.kind === 'ssh-key' ? hostLine(name, identity) : '');
      const isThere = (await files.stat(knownHosts)) !== undefined;
      if (isThere) requirePrivate(knownHosts);
      const known = isThere ? await files.readFile(knownHosts, LENGTH_MAX) : undefined;
      if (!known || !lines.equals(known)) {
        await locked(() => putDurably(files, knownHosts, lines));
      }
      return { key, knownHosts };
    },
  };
}

function readerOf(files: FileSystem, directory: string): Pick<HypervisorFiles, 'get' | 'list'> {
  async function read(path: string): Promise<HypervisorRecord> {
    requirePrivate(path);
    try {
      const record = decodeHypervisor(await files.readFile(path, LENGTH_MAX));
      // Under another name it would be used with the keys of that one, and change its files.
      if (path === join(directory, record.name + RECORD)) return record;
      throw new FormatError('CORRUPT', `it is the record of "${record.name}"`);
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      throw new SystemError('CORRUPT', `${path} cannot be used: ${cause.message}`, { cause });
    }
  }
  return {
    async get(name) {
      const path = join(directory, `${name}${RECORD}`);
      if (!isName(name) || !(await files.stat(path))) throw missing(name, directory);
      requirePrivateDirectory(directory);
      return read(path);
    },
    async list() {
      if (!(await files.stat(directory))) return { records: [], damaged: [] };
      requirePrivateDirectory(directory);
      const records: HypervisorRecord[] = [];
      const damaged: { path: string; reason: string }[] = [];
      for (const name of await files.list(directory)) {
        if (!name.endsWith(RECORD)) continue;
        const path = join(directory, name);
        try {
          records.push(await read(path));
        } catch (cause) {
          if (!(cause instanceof SystemError)) throw cause;
          damaged.push({ path, reason: cause.message });
        }
      }
      return { records, damaged };
    },
  };
}

function missing(name: string, directory: string): SystemError {
  return new SystemError(
    'NOT_FOUND',
    `there is no hypervisor "${name}" in ${directory}: see "holdfast hypervisor list"`,
  );
}

/** By our name for it: an address may change, and says nothing of what answers there. */
function hostLine(name: string, { type, key }: { readonly type: string; readonly key: string }) {
  return `${name} ${type} ${key}\n`;
}
