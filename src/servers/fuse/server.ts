import {
  ERRNO,
  INIT_FLAGS,
  INIT_FLAGS_2,
  INIT_REPLY_LENGTH,
  OPCODES,
  readInit,
  readRequestHeader,
  readUnique,
  REQUEST_HEADER_LENGTH,
  REQUEST_ROOM,
  resendNotification,
  writeInitReply,
} from '../../formats/wire/fuse.ts';
import { asError } from '../../lib/as-error.ts';
import { MiB } from '../../lib/sizes.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { FuseDevice, FuseServer } from '../../sys/fuse/fuse-device.ts';
import type { FileTree } from '../../vfs/file-tree.ts';
import type { Call, FuseHandler, FuseServed } from './calls.ts';
import { CONTENT_HANDLERS } from './contents.ts';
import { errnoOf } from './failure.ts';
import { NAME_HANDLERS } from './names.ts';
import { fuseReplies, type Replies, type Reply, ROOM_MAX } from './reply.ts';

/*
 * Shows a tree to the kernel. No state is kept between requests: node IDs are the tree's own and stable, and there
 * are no handles. So another server can take over from a dead one unnoticed, by asking the kernel for the requests
 * that died with it. Data in memory is answered at once, the rest out of order.
 */
export interface FuseTargetOptions {
  readonly clock: Clock;
  readonly device: FuseDevice;
  /** Lent. */
  readonly tree: FileTree;
  /** Whether it takes over from another server of the same mount. */
  readonly isSuccessor: boolean;
}

/** Limit for pending answers: as many reads of a megabyte as the kernel sends ahead on its own. */
const HELD_MAX = 32 * MiB;
/**
 * A request whose client got a signal is given up only after this: most requests are done by then, and programs do
 * not expect an interrupted error from a file.
 */
const PATIENCE_MS = 1000;

/** Resolves once the file system is unmounted and every request under way has ended. */
export async function serveFuse(options: FuseTargetOptions): Promise<void> {
  const { clock, device, tree, isSuccessor } = options;
  let bug: Error | undefined;
  const replies: Replies = fuseReplies({
    send: device.send,
    errnoOf,
    onSettled: () => server.resume(),
    onBug: (cause) => (bug ??= asError(cause)),
  });
  const served: FuseServed = { tree, isLast: () => !device.hasMore() };
  const memory = new Uint8Array(REQUEST_ROOM + WRITE_MAX + BODY_ROOM);
  const view = new DataView(memory.buffer);
  const body = new DataView(memory.buffer, REQUEST_HEADER_LENGTH);
  const server: FuseServer = {
    room: () => (replies.pendingBytes > HELD_MAX ? undefined : memory.subarray(0, -BODY_ROOM)),
    take(request) {
      // A request that is too short for its kind has zeros in place of the rest.
      memory.fill(0, request.length, request.length + BODY_ROOM);
      const { opcode, unique, node } = readRequestHeader(view);
      const bytes = request.subarray(REQUEST_HEADER_LENGTH);
      const call = { node, body, bytes };
      if (opcode === OPCODES.forget || opcode === OPCODES.batchForget) return;
      if (opcode === OPCODES.interrupt) return giveUp(replies, clock, readUnique(body, 0));
      answer(served, opcode, call, replies.to({ unique, uniqueBytes: request.subarray(8, 16) }));
    },
    isIdle() {
      // The request that hit the bug stays unanswered: the process ends, and another one tries.
      if (bug !== undefined) throw bug;
      return replies.pending === 0;
    },
    resume() {},
  };
  if (isSuccessor) device.send(resendNotification());
  await device.serve(server);
  await replies.settled();
  if (bug !== undefined) throw bug;
}

const WRITE_MAX = MiB;
/** More than any request has besides names and data. */
const BODY_ROOM = 128;
const PAGE_LENGTH = 4096;
const VERSION = { major: 7, minor: 38 };
/** Limit for background requests (reading ahead, direct and asynchronous ones). */
const BACKGROUND_MAX = 32;

const HANDLERS: ReadonlyMap<number, FuseHandler> = new Map(
  Object.entries({ init, destroy, ...NAME_HANDLERS, ...CONTENT_HANDLERS }).map(
    ([name, handler]) => [OPCODES[name as keyof typeof OPCODES], handler],
  ),
);

function answer(served: FuseServed, opcode: number, call: Call, reply: Reply): void {
  const handler = HANDLERS.get(opcode);
  // The kernel then does not ask again; requests that would change names have no handler.
  if (!handler) return reply.fail(ERRNO.noSystem);
  try {
    handler(served, call, reply);
  } catch (cause) {
    reply.fail(errnoOf(cause));
  }
}

function giveUp(replies: Replies, clock: Clock, unique: number): void {
  void clock.sleep(PATIENCE_MS).then(() => replies.interrupt(unique, ERRNO.interrupted));
}

function init(_served: FuseServed, { body }: Call, reply: Reply): void {
  const { major, minor, maxReadahead, flags, flags2 } = readInit(body);
  if (major !== VERSION.major) return reply.fail(ERRNO.protocol);
  const view = reply.view(INIT_REPLY_LENGTH);
  writeInitReply(view, {
    major,
    minor: Math.min(minor, VERSION.minor),
    maxReadahead,
    flags: flags & Object.values(INIT_FLAGS).reduce((all, flag) => all | flag),
    flags2: flags2 & INIT_FLAGS_2.directIoAllowMmap,
    maxBackground: BACKGROUND_MAX,
    maxWrite: WRITE_MAX,
    maxPages: ROOM_MAX / PAGE_LENGTH,
  });
  reply.send(INIT_REPLY_LENGTH);
}

function destroy(_served: FuseServed, _call: Call, reply: Reply): void {
  reply.send(0);
}
