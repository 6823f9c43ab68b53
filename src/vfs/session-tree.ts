import { join } from 'node:path/posix';
import type { WritableBlockDevice } from '../block/block-device.ts';
import { BlockError } from '../block/block-error.ts';
import { flushRounds } from '../block/group-commit.ts';
import type { SpaceGuard } from '../block/space-guard.ts';
import {
  type FileNode,
  type FilesChange,
  filesLogKey,
} from '../formats/store/sessions/files-log.ts';
import type { Clock } from '../sys/base/clock.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import type { Random } from '../sys/base/random.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { type ContentFiles, type Contents, treeContents } from './contents.ts';
import type { FileTree, NodeChanges, TreeSpace, WritableFileTree } from './file-tree.ts';
import { type FileFlushes, fileFlushes } from './file-flushes.ts';
import { type LogKey, openFilesLog, readFilesLog } from './files-log.ts';
import { checkNoneBefore, type FirstFiles, makeFirstFiles } from './initial-files.ts';
import { type Namespace, namespace, ROOT } from './namespace.ts';
import {
  changeNode,
  checkMovable,
  linkNode,
  makeNode,
  NODES_MAX,
  removeNode,
  renameNode,
} from './namespace-steps.ts';
import { plainContents, settlePlainContents } from './plain-contents.ts';
import {
  type CheckedSeal,
  checkSealedContents,
  sealedContents,
  type TreeSeal,
} from './sealed-contents.ts';
import { TreeError } from './tree-error.ts';

/**
 * A session as a directory: its disks, the descriptions of them that a hypervisor needs, and the small files that the
 * hypervisor adds. Names and attributes are in a log (formats/store/sessions/files-log.md), contents in a log or a
 * file for each node; the contents of disks are in their overlays.
 */
export interface SessionTreeOptions {
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  /** Undefined for a session without sealed overlays. */
  readonly seal: TreeSeal | undefined;
  readonly directory: string;
  /** The initial contents of a new tree. */
  readonly first: FirstFiles;
  /** Disks by their names in `first.disks`. Lent. */
  readonly disks: ReadonlyMap<string, WritableBlockDevice>;
  /** Space for files that hypervisors add: refuses instead of pausing. */
  readonly space: SpaceGuard;
}

const LOG = 'files.log';

/** Creates the tree, or continues with the existing one. Rejects TreeError CORRUPT. */
export async function openSessionTree(options: SessionTreeOptions): Promise<WritableFileTree> {
  const { clock, disks, seal } = options;
  const nowMs = strictClock(clock);
  const names = namespace();
  const sizeOf = (id: number): number | undefined => names.nodes.get(id)?.size;
  const files = seal ? sealedContents({ ...options, seal }) : plainContents(options);
  const contents = treeContents({ files, sizeOf });
  const history = await openHistory(options, { names, contents: files, now: nowMs() });
  if (!seal) await settlePlainContents(options, sizeOf);
  const flushes = fileFlushes(async (id) => {
    // It was removed in the meantime: no further call will use it.
    if (!names.nodes.has(id)) return;
    await contents.sync(id);
    const node = names.nodes.get(id);
    if (node) await history.happen([{ op: 'put', node }]);
  });

  function diskOf({ disk }: FileNode): WritableBlockDevice | undefined {
    if (disk === undefined) return undefined;
    const device = disks.get(disk);
    if (device) return device;
    throw new TreeError('CORRUPT', `the session has no disk ${disk}`);
  }
  async function happenAndRemove(changes: readonly FilesChange[]): Promise<void> {
    await history.happen(changes);
    for (const change of changes) {
      if (change.op !== 'drop') continue;
      flushes.forget(change.id);
      await contents.remove(change.id);
    }
  }
  const parts = { names, contents, history, flushes, diskOf, nowMs };
  return {
    ...reading(parts),
    ...writing(parts),
    space: () => worldly(() => spaceOf(options, names)),
    make: (into, name, what) =>
      worldly(async () => {
        const made = makeNode(names, { directory: into, name }, what, nowMs());
        await history.happen(made.changes);
        return made.id;
      }),
    remove: (from, name, kind) =>
      worldly(() => happenAndRemove(removeNode(names, { directory: from, name }, kind, nowMs()))),
    rename: (from, to) => worldly(() => happenAndRemove(renameNode(names, from, to, nowMs()))),
    link: (id, to) =>
      worldly(async () => {
        checkMovable(names.node(id));
        await history.happen(linkNode(names, id, to, nowMs()));
      }),
    async [Symbol.asyncDispose]() {
      try {
        await flushes.flushAll();
      } finally {
        await contents[Symbol.asyncDispose]();
        await history[Symbol.asyncDispose]();
      }
    },
  };
}

/**
 * Reads the whole log of a tree, and looks for the files that it names; changes nothing, even while the tree is open.
 * Returns damage in contents, in words. Rejects TreeError CORRUPT.
 */
export async function checkSessionTree(
  files: FileSystem,
  directory: string,
  {
    clock,
    first,
    seal,
  }: {
    readonly clock: Clock;
    readonly first: FirstFiles;
    readonly seal: CheckedSeal | undefined;
  },
): Promise<readonly string[]> {
  const path = join(directory, LOG);
  if (!(await files.stat(path))) {
    await checkNoneBefore(files, path, first);
    return [];
  }
  const names = namespace();
  const takesPlain = seal?.takesPlain ?? true;
  await readFilesLog(files, path, { key: keyOf(seal), takesPlain, replay: names.apply });
  checkRoot(names, path);
  return seal ? checkSealedContents({ files, clock, directory, seal }, names) : [];
}

function keyOf(seal: CheckedSeal | undefined): LogKey {
  return seal?.key && filesLogKey(seal.key.overlayKey, seal.session);
}

/** The root is in the first record, which was published as a whole: a power cut cannot tear it. */
function checkRoot(names: Namespace, path: string): void {
  if (names.nodes.has(ROOT)) return;
  throw new TreeError('CORRUPT', `${path}: its beginning is missing: there is no root directory`);
}

interface Parts {
  readonly names: Namespace;
  readonly contents: Contents;
  readonly history: History;
  readonly flushes: FileFlushes;
  readonly diskOf: (node: FileNode) => WritableBlockDevice | undefined;
  readonly nowMs: () => number;
}

interface History extends AsyncDisposable {
  /** Applies changes in memory at once; durable once this resolves. */
  happen(changes: readonly FilesChange[]): Promise<void>;
}

async function openHistory(
  { files, directory, first, seal }: SessionTreeOptions,
  {
    names,
    contents,
    now,
  }: { readonly names: Namespace; readonly contents: ContentFiles; readonly now: number },
): Promise<History> {
  const path = join(directory, LOG);
  const key = keyOf(seal);
  if (!(await files.stat(path))) await makeFirstFiles(files, path, { first, now, contents, key });
  /** Operations applied in memory but not in the log yet. */
  let pending: (readonly FilesChange[])[] = [];
  const log = await openFilesLog(files, path, {
    key,
    takesPlain: seal?.takesPlain ?? true,
    replay(changes) {
      names.apply(changes);
      if (names.nodes.size > NODES_MAX) throw new TreeError('CORRUPT', 'too many nodes');
    },
    whole() {
      pending = [];
      return names.whole();
    },
  });
  try {
    checkRoot(names, path);
  } catch (cause) {
    await log[Symbol.asyncDispose]();
    throw cause;
  }
  const rounds = flushRounds(async () => {
    const operations = pending;
    pending = [];
    if (operations.length > 0) await log.append(operations);
  });
  return {
    happen(changes) {
      rounds.check();
      names.apply(changes);
      if (changes.length > 0) pending.push(changes);
      return rounds.flush();
    },
    async [Symbol.asyncDispose]() {
      try {
        await rounds.flush();
      } finally {
        await log[Symbol.asyncDispose]();
      }
    },
  };
}

type Reading = Omit<FileTree, 'space' | typeof Symbol.asyncDispose>;

function reading({ names, contents, diskOf }: Parts): Reading {
  return {
    root: ROOT,
    node: (id) => names.nodes.get(id),
    parent: names.parent,
    lookup: (id, name) => names.directory(id).get(name)?.id,
    *list(id, after) {
      for (const entry of names.directory(id).values()) if (entry.cookie > after) yield entry;
    },
    readLink(id) {
      const { target } = names.node(id);
      if (target === undefined) throw new TreeError('INVALID', 'this is not a symbolic link');
      return target;
    },
    tryRead: (id, into, offset, effort) =>
      diskOf(names.node(id))?.tryRead(into, offset, effort) ?? false,
    async read(id, into, offset) {
      const device = diskOf(names.node(id));
      if (device) return device.read(into, offset);
      return worldly(() => contents.read(id, into, offset));
    },
  };
}

/** The operations that change a node but no name. */
function writing(parts: Parts): Pick<WritableFileTree, 'write' | 'flush' | 'change'> {
  const { names, contents, history, flushes, diskOf, nowMs } = parts;

  /** Changes it in memory only; returns the node as it was. */
  function written(id: number, end: number): FileNode {
    const it = fileOf(names, id);
    const now = nowMs();
    const size = Math.max(it.size, end);
    names.apply([{ op: 'put', node: { ...it, size, modifiedMs: now, changedMs: now } }]);
    return it;
  }
  async function writeFile(id: number, from: Uint8Array, offset: number): Promise<FileNode> {
    flushes.check(id);
    return contents.write(id, from, offset, () => {
      const before = written(id, offset + from.length);
      flushes.wrote(id);
      return before;
    });
  }
  async function flush(id: number): Promise<void> {
    const device = diskOf(fileOf(names, id));
    return device ? device.flush() : flushes.flush(id);
  }
  async function resize(id: number, to: NodeChanges, size: number): Promise<void> {
    flushes.check(id);
    await contents.resize(id, size, () => {
      names.apply(changeNode(names, id, to, nowMs()));
      flushes.wrote(id);
    });
    await flushes.flush(id);
  }
  async function change(id: number, to: NodeChanges): Promise<void> {
    const { size } = names.node(id);
    if (to.size === undefined || to.size === size) {
      return history.happen(changeNode(names, id, { ...to, size: undefined }, nowMs()));
    }
    if (!diskOf(fileOf(names, id))) return resize(id, to, to.size);
    throw new TreeError('INVALID', `a disk of ${size} bytes keeps them`);
  }
  return {
    async write(id, from, offset, durability) {
      const device = diskOf(fileOf(names, id));
      if (device) {
        if (offset + from.length > device.geometry.size) {
          throw new TreeError('TOO_LARGE', 'a disk does not grow');
        }
        await device.write(from, offset, durability);
        return written(id, 0);
      }
      return worldly(async () => {
        const before = from.length > 0 ? await writeFile(id, from, offset) : names.node(id);
        if (durability === 'durable') await flush(id);
        return before;
      });
    },
    flush: (id) => worldly(() => flush(id)),
    change: (id, to) => worldly(() => change(id, to)),
  };
}

function fileOf(names: Namespace, id: number): FileNode {
  const it = names.node(id);
  if (it.kind === 'directory') throw new TreeError('IS_DIRECTORY', 'this is a directory');
  if (it.kind !== 'file') throw new TreeError('INVALID', 'this is not a file');
  return it;
}

async function spaceOf({ space }: SessionTreeOptions, { nodes }: Namespace): Promise<TreeSpace> {
  const freeBytes = await space.left();
  let size = 0;
  for (const node of nodes.values()) size += node.size;
  return { freeBytes, totalBytes: freeBytes + size };
}

/** Milliseconds that never repeat: clients detect changes by them. */
function strictClock(clock: Clock): () => number {
  let last = 0;
  return () => (last = Math.max(last + 1, clock.now().getTime()));
}

/** Turns errors of the file system or its space guard into tree errors. */
async function worldly<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof SystemError) && !(cause instanceof BlockError)) throw cause;
    const code = cause.code === 'NO_SPACE' ? 'NO_SPACE' : 'IO';
    throw new TreeError(code, cause.message, { cause });
  }
}
