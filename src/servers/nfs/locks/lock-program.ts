import { PROGRAMS } from '../../../formats/wire/rpc.ts';
import type { XdrReader, XdrWriter } from '../../../formats/wire/xdr.ts';
import type { Peer } from '../../../sys/net/network.ts';
import type { Exports } from '../exports/exports.ts';
import { NfsFailure } from '../rpc/failure.ts';
import { nullProcedure } from '../procedures/null-procedure.ts';
import type { Lock, RangeLocks } from './range-locks.ts';
import type { Reply } from '../rpc/reply.ts';
import type { Caller, Handler, Program } from '../procedures/procedure.ts';

/*
 * The network lock manager, version 4 (X/Open XNFS C702, chapters 9 and 14). A default mount on Linux requests
 * every lock from it, and hangs if it is missing. It makes no callbacks: a client that waits for a lock asks again.
 *
 *   testargs:   cookie exclusive lock              lockargs:  cookie block exclusive lock reclaim state
 *   cancargs:   cookie block exclusive lock        unlockargs: cookie lock
 *   lock:       caller<1024> handle<64> owner<1024> svid offset length
 *   shareargs:  cookie caller<1024> handle<64> owner<1024> mode access reclaim
 */
const STATUS = { granted: 0, denied: 1, noLocks: 2, blocked: 3, stale: 7 } as const;
const COOKIE_MAX = 1024;
const NAME_MAX = 1024;
const OWNER_MAX = 1024;

export function lockProgram(exports: Exports, locks: RangeLocks): Program {
  /** The lock, and the key of the locked file; undefined: the handle is invalid, or the file is gone. */
  function readLock(args: XdrReader, { peer }: Caller, exclusive: boolean) {
    const host = readHost(args, peer);
    const file = readFile(args, peer);
    const handle = args.opaque(OWNER_MAX).slice();
    const process = args.u32();
    const start = args.u64();
    const length = args.u64();
    const owner = `${host} ${process} ${Buffer.from(handle).toString('hex')}`;
    const end = length === 0 ? Number.POSITIVE_INFINITY : start + length;
    const { address } = peer;
    const range = { start, end };
    return {
      file,
      lock: { owner, host, address, exclusive, process, handle, ...range } satisfies Lock,
    };
  }
  function readFile(args: XdrReader, peer: Peer): string | undefined {
    try {
      const found = exports.read(args, peer);
      exports.node(found);
      return `${found.served?.tag} ${found.id}`;
    } catch (cause) {
      if (cause instanceof NfsFailure) return undefined;
      throw cause;
    }
  }
  function answer(reply: Reply, cookie: Uint8Array, status: number): void {
    const writer = reply.begin(COOKIE_MAX + 8);
    writer.opaque(cookie);
    writer.u32(status);
    reply.end();
  }
  const test: Handler = (args, caller, reply) => {
    const cookie = args.opaque(COOKIE_MAX);
    const { file, lock } = readLock(args, caller, args.flag());
    if (file === undefined) return answer(reply, cookie, STATUS.stale);
    const holder = locks.conflict(file, lock);
    if (!holder) return answer(reply, cookie, STATUS.granted);
    const writer = reply.begin(COOKIE_MAX + OWNER_MAX + 48);
    writer.opaque(cookie);
    writer.u32(STATUS.denied);
    writeHolder(writer, holder);
    reply.end();
  };
  const lock: Handler = (args, caller, reply) => {
    const cookie = args.opaque(COOKIE_MAX);
    const waits = args.flag();
    const { file, lock: wanted } = readLock(args, caller, args.flag());
    if (file === undefined) return answer(reply, cookie, STATUS.stale);
    const holder = locks.take(file, wanted);
    if (holder === undefined) return answer(reply, cookie, STATUS.granted);
    if (holder === 'FULL') return answer(reply, cookie, STATUS.noLocks);
    answer(reply, cookie, waits ? STATUS.blocked : STATUS.denied);
  };
  /** Nothing needs canceling: the server does not remember locks that it did not grant. */
  const cancel: Handler = (args, _caller, reply) => {
    answer(reply, args.opaque(COOKIE_MAX), STATUS.granted);
  };
  const unlock: Handler = (args, caller, reply) => {
    const cookie = args.opaque(COOKIE_MAX);
    const { file, lock: range } = readLock(args, caller, false);
    if (file !== undefined) locks.release(file, range.owner, range);
    answer(reply, cookie, STATUS.granted);
  };
  /** Share reservations are for DOS clients. They are granted, and do not exclude anyone. */
  const share: Handler = (args, _caller, reply) => {
    const cookie = args.opaque(COOKIE_MAX);
    const writer = reply.begin(COOKIE_MAX + 12);
    writer.opaque(cookie);
    writer.u32(STATUS.granted);
    writer.u32(0);
    reply.end();
  };
  const freeAll: Handler = (args, { peer }, reply) => {
    locks.releaseHost(readHost(args, peer));
    reply.begin(0);
    reply.end();
  };
  const handlers = new Map<number, Handler>([
    [0, nullProcedure],
    [1, test],
    [2, lock],
    [3, cancel],
    [4, unlock],
    // GRANTED: only servers send it.
    [5, cancel],
    [20, share],
    [21, share],
    // Like LOCK, for clients that are not monitored for restarts.
    [22, lock],
    [23, freeAll],
  ]);
  return {
    ...PROGRAMS.locks,
    procedure: (number) => handlers.get(number),
    happensOnce: () => false,
    fail(_number, _reply, cause) {
      throw cause;
    },
  };
}

/** Names a client as one word: its address, and the name that it gave itself, in any encoding. */
function readHost(args: XdrReader, { address }: Peer): string {
  return `${address} ${Buffer.from(args.opaque(NAME_MAX)).toString('latin1')}`;
}

function writeHolder(writer: XdrWriter, { exclusive, process, handle, start, end }: Lock): void {
  writer.flag(exclusive);
  writer.u32(process);
  writer.opaque(handle);
  writer.u64(start);
  writer.u64(end === Number.POSITIVE_INFINITY ? 0 : end - start);
}
