import {
  direntLength,
  ENTRY_LENGTH,
  FILE_TYPES,
  OPEN_FLAGS,
  readU64,
  STATFS_LENGTH,
  writeDirent,
  writeEntry,
  writeStatfs,
  writeU64,
} from '../../formats/wire/fuse.ts';
import { utf8 } from '../../lib/bytes.ts';
import type { TreeNode } from '../../vfs/file-tree.ts';
import { TreeError } from '../../vfs/tree-error.ts';
import { attributesOf, sendEntry, VALID_S } from './attributes.ts';
import { type Call, type FuseHandler, type FuseServed, nodeOf } from './calls.ts';
import { ROOM_MAX, type Reply } from './reply.ts';

const NAME_MAX = 255;
const OPEN_REPLY_LENGTH = 16;
const DECODER = new TextDecoder('utf-8', { fatal: true });

/** Requests for names and directories. */
export const NAME_HANDLERS = {
  /** body: name, 0 */
  lookup(served, { node: directory, bytes }, reply) {
    const name = nameOf(bytes);
    const found = find(served, directory, name);
    if (found) return sendEntry(reply, found);
    const rest = served.tree.complete?.(directory);
    if (!rest) throw new TreeError('NOT_FOUND', `there is no "${name}"`);
    reply.later(ENTRY_LENGTH, async (room) => {
      await rest;
      const late = find(served, directory, name);
      if (!late) throw new TreeError('NOT_FOUND', `there is no "${name}"`);
      writeEntry(new DataView(room.buffer, room.byteOffset), 0, attributesOf(late), VALID_S);
      return ENTRY_LENGTH;
    });
  },
  readlink({ tree }, { node }, reply) {
    const target = utf8(tree.readLink(node));
    reply.room(target.length).set(target);
    reply.send(target.length);
  },
  opendir(served, { node }, reply) {
    if (nodeOf(served, node).kind !== 'directory') {
      throw new TreeError('NOT_DIRECTORY', 'this is not a directory');
    }
    const view = reply.view(OPEN_REPLY_LENGTH);
    writeU64(view, 0, 0);
    view.setUint32(8, OPEN_FLAGS.cacheDirectory, true);
    view.setUint32(12, 0, true);
    reply.send(OPEN_REPLY_LENGTH);
  },
  readdir: (served, call, reply) => list(served, call, reply, 'names'),
  readdirplus: (served, call, reply) => list(served, call, reply, 'plus'),
  releasedir: (_served, _call, reply) => reply.send(0),
  fsyncdir: (_served, _call, reply) => reply.send(0),
  statfs({ tree }, _call, reply) {
    reply.later(STATFS_LENGTH, async (room) => {
      const space = await tree.space();
      writeStatfs(new DataView(room.buffer, room.byteOffset), { ...space, nameMax: NAME_MAX });
      return STATFS_LENGTH;
    });
  },
} as const satisfies Record<string, FuseHandler>;

/** The name up to the terminating zero. A name that is not UTF-8 does not exist here. */
function nameOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const name = end < 0 ? bytes : bytes.subarray(0, end);
  if (name.length > NAME_MAX) throw new TreeError('NAME_TOO_LONG', `${name.length} bytes`);
  try {
    return DECODER.decode(name);
  } catch (cause) {
    throw new TreeError('NOT_FOUND', 'a name that is not UTF-8', { cause });
  }
}

function find({ tree }: FuseServed, directory: number, name: string): TreeNode | undefined {
  const id = tree.lookup(directory, name);
  return id === undefined ? undefined : tree.node(id);
}

type Style = 'names' | 'plus';

/** body: u64 handle, u64 after, u32 length */
function list(served: FuseServed, call: Call, reply: Reply, style: Style): void {
  const { node: directory, body } = call;
  const after = readU64(body, 8);
  const length = Math.min(body.getUint32(16, true), ROOM_MAX);
  const rest = served.tree.complete?.(directory);
  if (!rest) return reply.send(fill(served, { directory, after, style }, reply.room(length)));
  reply.later(length, async (room) => {
    await rest;
    return fill(served, { directory, after, style }, room);
  });
}

interface Page {
  readonly directory: number;
  readonly after: number;
  readonly style: Style;
}

/** Cookies 1 and 2 are "." and "..": so an entry keeps its position over a restart. */
function fill({ tree }: FuseServed, { directory, after, style }: Page, into: Uint8Array): number {
  const view = new DataView(into.buffer, into.byteOffset, into.length);
  const attributesLength = style === 'plus' ? ENTRY_LENGTH : 0;
  let at = 0;

  /** Adds an entry; returns whether it fitted. */
  function put(name: Uint8Array, cookie: number, node: TreeNode, isSelf: boolean): boolean {
    const length = attributesLength + direntLength(name.length);
    if (at + length > into.length) return false;
    if (style === 'plus') {
      // The kernel ignores the attributes of "." and "..": node 0 says so.
      const attributes = attributesOf(node);
      writeEntry(view, at, isSelf ? { ...attributes, node: 0 } : attributes, VALID_S);
    }
    const type = FILE_TYPES[node.kind];
    writeDirent(into, view, at + attributesLength, { node: node.id, next: cookie, type, name });
    at += length;
    return true;
  }
  const dots = [
    { name: '.', id: directory },
    { name: '..', id: tree.parent(directory) },
  ];
  for (const [index, { name, id }] of dots.entries()) {
    const node = tree.node(id);
    if (after <= index && node && !put(utf8(name), index + 1, node, true)) return at;
  }
  for (const { name, id, cookie } of tree.list(directory, after)) {
    const node = tree.node(id);
    if (node && !put(utf8(name), cookie, node, false)) return at;
  }
  return at;
}
