import type { FileNode, FilesChange } from '../formats/store/sessions/files-log.ts';
import type { NewNode, NodeChanges, Place, TreeEntry } from './file-tree.ts';
import type { Namespace } from './namespace.ts';
import { TreeError } from './tree-error.ts';

/*
 * The changes that each operation on names makes: checks the current state, and returns the changes. Pure; nothing
 * happens until they are applied. `now`: milliseconds since 1970.
 */
const NAME_BYTES_MAX = 255;
/** Limit for a symbolic link; with NAME_BYTES_MAX it bounds a record of the log. */
const TARGET_BYTES_MAX = 1024;
/** Some 300 bytes of memory each. */
export const NODES_MAX = 100_000;
const LINKS_MAX = 1000;

export interface Made {
  readonly id: number;
  /** Empty: the same call created it before. */
  readonly changes: readonly FilesChange[];
}

export interface NewTreeNode extends NewNode {
  readonly disk?: string;
  readonly size?: number;
}

export function makeNode(names: Namespace, at: Place, what: NewTreeNode, now: number): Made {
  const there = names.directory(at.directory).get(at.name);
  if (there && what.exclusive !== undefined) {
    if (names.node(there.id).exclusive === what.exclusive) return { id: there.id, changes: [] };
  }
  checkFree(names, at);
  if (Buffer.byteLength(what.target ?? '') > TARGET_BYTES_MAX) {
    throw new TreeError('NAME_TOO_LONG', `a link to more than ${TARGET_BYTES_MAX} bytes`);
  }
  if (names.nodes.size >= NODES_MAX) {
    throw new TreeError('NO_SPACE', `more than ${NODES_MAX} files`);
  }
  const id = names.number();
  const { kind, mode, uid, gid, target, disk, exclusive } = what;
  const node: FileNode = {
    ...{ id, kind, mode, uid, gid, target, disk, exclusive },
    links: kind === 'directory' ? 2 : 1,
    size: what.size ?? Buffer.byteLength(target ?? ''),
    ...{ accessedMs: now, modifiedMs: now, changedMs: now },
  };
  const above = touched(names, at.directory, { now, links: kind === 'directory' ? 1 : 0 });
  return { id, changes: [{ op: 'put', node }, enter(names, at, id), above] };
}

export function removeNode(
  names: Namespace,
  at: Place,
  kind: 'directory' | 'other',
  now: number,
): FilesChange[] {
  const it = names.node(entryOf(names, at).id);
  checkMovable(it);
  if (kind === 'directory') {
    if (it.kind !== 'directory') throw new TreeError('NOT_DIRECTORY', 'this is not a directory');
    checkEmpty(names, it);
  } else if (it.kind === 'directory') {
    throw new TreeError('IS_DIRECTORY', 'this is a directory');
  }
  const links = it.kind === 'directory' ? -1 : 0;
  return [{ op: 'leave', ...at }, unlinked(it, now), touched(names, at.directory, { now, links })];
}

export function renameNode(names: Namespace, from: Place, to: Place, now: number): FilesChange[] {
  const moved = names.node(entryOf(names, from).id);
  checkName(to.name);
  const there = names.directory(to.directory).get(to.name);
  // Two names of one file: there is nothing to do (RFC 1813, 3.3.14).
  if (there?.id === moved.id) return [];
  checkMovable(moved);
  if (moved.kind === 'directory' && names.isWithin(to.directory, moved.id)) {
    throw new TreeError('INVALID', 'a directory cannot move into itself');
  }
  const old = there && names.node(there.id);
  if (old) checkReplaceable(names, moved, old);
  const less = old?.kind === 'directory' ? 1 : 0;
  const more = moved.kind === 'directory' ? 1 : 0;
  return [
    ...(old ? [unlinked(old, now)] : []),
    { op: 'leave', ...from },
    enter(names, to, moved.id),
    { op: 'put', node: { ...moved, changedMs: now } },
    ...(from.directory === to.directory
      ? [touched(names, to.directory, { now, links: -less })]
      : [
          touched(names, from.directory, { now, links: -more }),
          touched(names, to.directory, { now, links: more - less }),
        ]),
  ];
}

export function linkNode(names: Namespace, id: number, to: Place, now: number): FilesChange[] {
  const it = names.node(id);
  checkFree(names, to);
  if (it.kind === 'directory') throw new TreeError('IS_DIRECTORY', 'this is a directory');
  if (it.links >= LINKS_MAX) throw new TreeError('INVALID', `more than ${LINKS_MAX} links`);
  return [
    { op: 'put', node: { ...it, links: it.links + 1, changedMs: now } },
    enter(names, to, id),
    touched(names, to.directory, { now, links: 0 }),
  ];
}

export function changeNode(
  names: Namespace,
  id: number,
  { mode, uid, gid, size, accessedMs, modifiedMs }: NodeChanges,
  now: number,
): FilesChange[] {
  const it = names.node(id);
  const isResized = size !== undefined && size !== it.size;
  const at = (time: number | 'now' | undefined, old: number): number =>
    time === 'now' ? now : (time ?? old);
  const node: FileNode = {
    ...it,
    mode: mode ?? it.mode,
    uid: uid ?? it.uid,
    gid: gid ?? it.gid,
    size: size ?? it.size,
    accessedMs: at(accessedMs, it.accessedMs),
    modifiedMs: at(modifiedMs ?? (isResized ? 'now' : undefined), it.modifiedMs),
    changedMs: now,
  };
  return [{ op: 'put', node }];
}

/** Throws FIXED for disks: they keep all their names. */
export function checkMovable({ disk }: FileNode): void {
  if (disk !== undefined)
    throw new TreeError('FIXED', `this is disk ${disk} of the session itself`);
}

function entryOf(names: Namespace, { directory, name }: Place): TreeEntry {
  const found = names.directory(directory).get(name);
  if (!found) throw new TreeError('NOT_FOUND', `there is no "${name}"`);
  return found;
}

function enter(names: Namespace, { directory, name }: Place, id: number): FilesChange {
  return { op: 'enter', directory, name, id, cookie: names.number() };
}

function touched(
  names: Namespace,
  directory: number,
  { now, links }: { readonly now: number; readonly links: number },
): FilesChange {
  const it = names.node(directory);
  const node = { ...it, links: it.links + links, modifiedMs: now, changedMs: now };
  return { op: 'put', node };
}

/** Removes one name; the last one takes the node with it. */
function unlinked(it: FileNode, now: number): FilesChange {
  if (it.kind === 'directory' || it.links === 1) return { op: 'drop', id: it.id };
  return { op: 'put', node: { ...it, links: it.links - 1, changedMs: now } };
}

function checkFree(names: Namespace, { directory, name }: Place): void {
  checkName(name);
  if (names.directory(directory).has(name)) {
    throw new TreeError('EXISTS', `"${name}" exists already`);
  }
}

function checkEmpty(names: Namespace, { id }: FileNode): void {
  if (names.directory(id).size > 0) throw new TreeError('NOT_EMPTY', 'it is not empty');
}

/** Checks the node that a rename would replace. */
function checkReplaceable(names: Namespace, moved: FileNode, old: FileNode): void {
  checkMovable(old);
  if (old.kind === 'directory') {
    if (moved.kind !== 'directory') throw new TreeError('IS_DIRECTORY', 'a directory is there');
    checkEmpty(names, old);
  } else if (moved.kind === 'directory') {
    throw new TreeError('NOT_DIRECTORY', 'the target is not a directory');
  }
}

function checkName(name: string): void {
  if (Buffer.byteLength(name) > NAME_BYTES_MAX) {
    throw new TreeError('NAME_TOO_LONG', `a name of more than ${NAME_BYTES_MAX} bytes`);
  }
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new TreeError('BAD_NAME', `"${name}" is not a valid name`);
  }
}
