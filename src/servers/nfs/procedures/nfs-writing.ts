import {
  readGuard,
  readNewAttributes,
  STABILITY,
  STATUS,
  VERIFIER_LENGTH,
} from '../../../formats/wire/nfs3.ts';
import { PERMISSION, permissions } from '../exports/access.ts';
import { checkChanges, readSubject, writeWhatChanged } from './changing.ts';
import { NfsFailure } from '../rpc/failure.ts';
import { CHANGE_LENGTH, TRANSFER_LENGTH_MAX } from './nfs-limits.ts';
import { nfsOk } from '../rpc/reply.ts';
import type { NfsHandlers, NfsServer } from './procedure.ts';

/** Procedures that change a file itself: SETATTR, WRITE, COMMIT. */
export function writingProcedures({ exports }: NfsServer): NfsHandlers {
  return {
    setattr(args, caller, reply) {
      const it = readSubject(exports, args, caller);
      const to = readNewAttributes(args);
      const guard = readGuard(args);
      const before = exports.node(it.found);
      checkChanges(before, to, it.who);
      if (guard !== undefined && guard !== before.changedMs) {
        throw new NfsFailure(STATUS.notSynced, 'the file has changed in the meantime');
      }
      reply.later(0, async () => {
        await it.tree.change(it.found.id, to);
        const writer = nfsOk(reply, CHANGE_LENGTH);
        writeWhatChanged(writer, it.found, before);
        reply.end();
      });
    },
    write(args, caller, reply) {
      const it = readSubject(exports, args, caller);
      const offset = args.u64();
      const count = args.u32();
      const stable = args.u32();
      const data = args.opaque(TRANSFER_LENGTH_MAX);
      if (count !== data.length)
        throw new NfsFailure(STATUS.invalid, 'the count differs from the length of the data');
      const node = exports.node(it.found);
      if (node.kind === 'directory')
        throw new NfsFailure(STATUS.isDirectory, 'this is a directory');
      const isOwner = it.who.uid === node.uid;
      if (!isOwner && (permissions(node, it.who) & PERMISSION.write) === 0) {
        throw new NfsFailure(STATUS.access, 'no permission to write this file');
      }
      const isDurable = stable !== STABILITY.unstable;
      const kept = caller.keep(data);
      reply.later(count, async () => {
        const how = isDurable ? 'durable' : 'cached';
        const before = await it.tree
          .write(it.found.id, kept.bytes, offset, how)
          .finally(kept.release);
        caller.count(it.found.served, { writtenBytes: count });
        const writer = nfsOk(reply, CHANGE_LENGTH + 8 + VERIFIER_LENGTH);
        writeWhatChanged(writer, it.found, before);
        writer.u32(count);
        writer.u32(isDurable ? STABILITY.fileSync : STABILITY.unstable);
        writer.fixed(it.found.served.verifier);
        reply.end();
      });
    },
    commit(args, caller, reply) {
      const it = readSubject(exports, args, caller);
      const before = exports.node(it.found);
      reply.later(0, async () => {
        await it.tree.flush(it.found.id);
        const writer = nfsOk(reply, CHANGE_LENGTH + VERIFIER_LENGTH);
        writeWhatChanged(writer, it.found, before);
        writer.fixed(it.found.served.verifier);
        reply.end();
      });
    },
  };
}
