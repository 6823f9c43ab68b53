import {
  ERRNO,
  FALLOCATE_MODES,
  OPEN_FLAGS,
  readU64,
  SETATTR_VALID,
  WHENCE,
  writeU64,
} from '../../formats/wire/fuse.ts';
import type { WritableBlockDevice } from '../../block/block-device.ts';
import type { TreeNode } from '../../vfs/file-tree.ts';
import { TreeError } from '../../vfs/tree-error.ts';
import { sendAttributes } from './attributes.ts';
import { type Call, type FuseHandler, type FuseServed, nodeOf } from './calls.ts';
import { FuseFailure } from './failure.ts';
import { ROOM_MAX, type Reply } from './reply.ts';

const OPEN_REPLY_LENGTH = 16;
const WRITE_REPLY_LENGTH = 8;
const LSEEK_REPLY_LENGTH = 8;
/** Where the data of a write begins in the body. */
const WRITE_HEADER_LENGTH = 40;
/** open(2): O_ACCMODE. */
const ACCESS_MODE = 3;
/** The step when searching a disk, so that one request does not search all of it. */
const SEEK_STEP = 1024 * 1024 * 1024;

/** Requests for contents of files. */
export const CONTENT_HANDLERS = {
  getattr: (served, { node }, reply) => sendAttributes(reply, nodeOf(served, node)),
  /** body: u32 what, u32, u64 handle, u64 size … Times and owners cannot be changed; a size stays. */
  setattr(served, { node, body }, reply) {
    const it = nodeOf(served, node);
    const what = body.getUint32(0, true);
    writable(served, it);
    if (what & (SETATTR_VALID.mode | SETATTR_VALID.uid | SETATTR_VALID.gid)) {
      throw new TreeError('FIXED', 'the owner of a disk cannot be changed');
    }
    if (what & SETATTR_VALID.size && readU64(body, 16) !== it.size) {
      throw new TreeError('FIXED', 'a disk keeps its size');
    }
    sendAttributes(reply, it);
  },
  /** body: u32 flags */
  open(served, { node, body }, reply) {
    const it = nodeOf(served, node);
    const device = served.tree.disk?.(node);
    if ((body.getUint32(0, true) & ACCESS_MODE) !== 0) writable(served, it);
    // The guest of a running session changes the disk, too: the page cache must hold none of it.
    const shared = OPEN_FLAGS.directIo | OPEN_FLAGS.parallelDirectWrites;
    const flags = device ? shared : OPEN_FLAGS.keepCache;
    const opening = served.tree.open?.(node);
    if (!opening) {
      writeOpened(reply.view(OPEN_REPLY_LENGTH), flags);
      return reply.send(OPEN_REPLY_LENGTH);
    }
    reply.later(OPEN_REPLY_LENGTH, async (room) => {
      await opening;
      writeOpened(new DataView(room.buffer, room.byteOffset), flags);
      return OPEN_REPLY_LENGTH;
    });
  },
  release({ tree }, { node }, reply) {
    tree.close?.(node);
    reply.send(0);
  },
  read,
  write,
  /** body: u64 handle, u32 flags */
  fsync(served, { node }, reply) {
    const device = served.tree.disk?.(node);
    if (!device) return reply.send(0);
    reply.later(0, async () => {
      await device.flush();
      return 0;
    });
  },
  /** body: u64 handle, u64 offset, u64 length, u32 mode */
  fallocate(served, { node, body }, reply) {
    const it = nodeOf(served, node);
    const device = writable(served, it);
    const [offset, length] = [readU64(body, 8), readU64(body, 16)];
    const mode = body.getUint32(24, true);
    const zeroes = mode & (FALLOCATE_MODES.punchHole | FALLOCATE_MODES.zeroRange);
    const known = mode & ~(zeroes | FALLOCATE_MODES.keepSize);
    if (known !== 0 || zeroes === 0) {
      throw new FuseFailure(ERRNO.notSupported, 'space of a disk cannot be allocated');
    }
    const end = Math.min(it.size, offset + length);
    if (end <= offset) throw new FuseFailure(ERRNO.invalid, 'beyond the end of the disk');
    reply.later(0, async () => {
      await device.zero(offset, end - offset, 'cached');
      return 0;
    });
  },
  /** body: u64 handle, u64 offset, u32 whence */
  lseek(served, { node, body }, reply) {
    const it = nodeOf(served, node);
    const offset = readU64(body, 8);
    const whence = body.getUint32(16, true);
    if (whence !== WHENCE.data && whence !== WHENCE.hole) {
      throw new FuseFailure(ERRNO.invalid, `whence ${whence}`);
    }
    if (offset >= it.size) throw new FuseFailure(ERRNO.nxio, 'beyond the end of the disk');
    reply.later(LSEEK_REPLY_LENGTH, async (room) => {
      const found = await seek(served, it, offset, whence === WHENCE.data ? 'data' : 'zero');
      if (found === undefined) throw new FuseFailure(ERRNO.nxio, 'no data follows');
      writeU64(new DataView(room.buffer, room.byteOffset), 0, found);
      return LSEEK_REPLY_LENGTH;
    });
  },
} as const satisfies Record<string, FuseHandler>;

/** There are no handles. */
function writeOpened(view: DataView, flags: number): void {
  writeU64(view, 0, 0);
  view.setUint32(8, flags, true);
  view.setUint32(12, 0, true);
}

/** body: u64 handle, u64 offset, u32 length */
function read(served: FuseServed, { node, body }: Call, reply: Reply): void {
  const { tree } = served;
  const { size } = nodeOf(served, node);
  const offset = readU64(body, 8);
  const wanted = Math.min(body.getUint32(16, true), ROOM_MAX);
  const length = Math.max(0, Math.min(wanted, size - offset));
  if (length === 0) return reply.send(0);
  const room = reply.room(length);
  if (tree.tryRead(node, room, offset, 'memory')) return reply.send(length);
  if (served.isLast() && tree.tryRead(node, room, offset, 'medium')) return reply.send(length);
  reply.later(length, async (later) => {
    await tree.read(node, later, offset);
    return length;
  });
}

/** body: u64 handle, u64 offset, u32 length, u32 flags, u64 owner, u32, u32, data */
function write(served: FuseServed, { node, body, bytes }: Call, reply: Reply): void {
  const it = nodeOf(served, node);
  const device = writable(served, it);
  const offset = readU64(body, 8);
  const length = Math.min(
    body.getUint32(16, true),
    Math.max(0, bytes.length - WRITE_HEADER_LENGTH),
  );
  if (offset + length > it.size) throw new TreeError('TOO_LARGE', 'beyond the end of the disk');
  const from = bytes.subarray(WRITE_HEADER_LENGTH, WRITE_HEADER_LENGTH + length);
  reply.later(WRITE_REPLY_LENGTH + length, async (room) => {
    // The request's own memory is needed for the next one.
    const data = room.subarray(WRITE_REPLY_LENGTH);
    data.set(from);
    await device.write(data, offset, 'cached');
    writeU64(new DataView(room.buffer, room.byteOffset), 0, length);
    return WRITE_REPLY_LENGTH;
  });
}

function writable({ tree }: FuseServed, { id, kind }: TreeNode): WritableBlockDevice {
  if (kind === 'directory') throw new TreeError('IS_DIRECTORY', 'this is a directory');
  const device = tree.disk?.(id);
  if (device) return device;
  throw new TreeError('READ_ONLY', 'a recovery point cannot be changed');
}

/** The first data, or zeros, at or after `offset`. The end of a file is a hole. */
async function seek(
  { tree }: FuseServed,
  { id, size }: TreeNode,
  offset: number,
  kind: 'data' | 'zero',
): Promise<number | undefined> {
  for (let at = offset; at < size; at += SEEK_STEP) {
    const length = Math.min(SEEK_STEP, size - at);
    const extents = (await tree.extents?.(id, at, length)) ?? [
      { offset: at, length, kind: 'data' as const },
    ];
    const found = extents.find((extent) => extent.kind === kind);
    if (found) return found.offset;
  }
  return kind === 'zero' ? size : undefined;
}
