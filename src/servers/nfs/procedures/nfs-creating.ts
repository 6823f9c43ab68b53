import {
  CREATE_MODES,
  type NewAttributes,
  readNewAttributes,
  STATUS,
  VERIFIER_LENGTH,
  writeAfter,
} from '../../../formats/wire/nfs3.ts';
import type { NewNode } from '../../../vfs/file-tree.ts';
import type { Identity } from '../exports/access.ts';
import {
  belongs,
  changeableDirectory,
  checkChanges,
  readSubject,
  type Subject,
  writeWhatChanged,
} from './changing.ts';
import { attributesOf } from '../exports/exports.ts';
import { NfsFailure } from '../rpc/failure.ts';
import { readName, readPath } from './names.ts';
import { AFTER_LENGTH, CHANGE_LENGTH, HANDLE_LENGTH } from './nfs-limits.ts';
import { nfsOk, type Reply } from '../rpc/reply.ts';
import type { NfsHandlers, NfsServer } from './procedure.ts';

/** What makes files: CREATE, MKDIR, SYMLINK, and MKNOD, which makes none. Durable before it is answered. */
export function creatingProcedures({ exports }: NfsServer): NfsHandlers {
  /** The reply of CREATE, MKDIR, SYMLINK: handle and attributes of the new node, and how its directory changed. */
  function make(into: Subject, reply: Reply, work: () => Promise<number>): void {
    const before = changeableDirectory(exports, into);
    reply.later(0, async () => {
      const id = await work();
      const made = { ...into.found, id };
      const writer = nfsOk(reply, 4 + HANDLE_LENGTH + AFTER_LENGTH + CHANGE_LENGTH);
      writer.flag(true);
      exports.write(writer, made);
      writeAfter(writer, attributesOf(made, exports.node(made)));
      writeWhatChanged(writer, into.found, before);
      reply.end();
    });
  }
  return {
    create(args, caller, reply) {
      const into = readSubject(exports, args, caller);
      const name = readName(args);
      const mode = args.u32();
      const { tree, who, found } = into;
      if (mode === CREATE_MODES.exclusive) {
        const exclusive = Buffer.from(args.fixed(VERIFIER_LENGTH)).toString('hex');
        make(into, reply, () =>
          tree.make(found.id, name, { ...owned(who, undefined, 0o600), kind: 'file', exclusive }),
        );
        return;
      }
      if (mode > CREATE_MODES.exclusive) throw new NfsFailure(STATUS.invalid, 'no such mode');
      const to = readNewAttributes(args);
      make(into, reply, async () => {
        const there = mode === CREATE_MODES.unchecked ? tree.lookup(found.id, name) : undefined;
        if (there !== undefined) {
          // Opened with O_CREAT: an existing file is truncated, and otherwise stays the same.
          const node = tree.node(there)!;
          if (node.kind !== 'file') throw new NfsFailure(STATUS.exists, 'this is not a file');
          if (to.size !== undefined) {
            checkChanges(node, { ...NOTHING, size: to.size }, who);
            await tree.change(there, { size: to.size });
          }
          return there;
        }
        const id = await tree.make(found.id, name, { ...owned(who, to, 0o644), kind: 'file' });
        if (to.size) await tree.change(id, { size: to.size });
        return id;
      });
    },
    mkdir(args, caller, reply) {
      const into = readSubject(exports, args, caller);
      const name = readName(args);
      const what = {
        ...owned(into.who, readNewAttributes(args), 0o755),
        kind: 'directory',
      } as const;
      make(into, reply, () => into.tree.make(into.found.id, name, what));
    },
    symlink(args, caller, reply) {
      const into = readSubject(exports, args, caller);
      const name = readName(args);
      const to = readNewAttributes(args);
      const aim = readPath(args);
      const what = { ...owned(into.who, to, 0o777), kind: 'symlink', target: aim } as const;
      make(into, reply, () => into.tree.make(into.found.id, name, what));
    },
    mknod(args, caller) {
      readSubject(exports, args, caller);
      throw new NfsFailure(STATUS.notSupported, 'devices, sockets and pipes are not supported');
    },
  };
}

const NOTHING: NewAttributes = {
  mode: undefined,
  uid: undefined,
  gid: undefined,
  size: undefined,
  accessedMs: undefined,
  modifiedMs: undefined,
};

function owned(
  who: Identity,
  to: NewAttributes | undefined,
  mode: number,
): Omit<NewNode, 'kind' | 'target'> {
  // Only root may create files of other users.
  const isRoot = who.uid === 0;
  return {
    mode: to?.mode ?? mode,
    uid: (isRoot ? to?.uid : undefined) ?? who.uid,
    gid: to?.gid !== undefined && (isRoot || belongs(who, to.gid)) ? to.gid : who.gid,
  };
}
