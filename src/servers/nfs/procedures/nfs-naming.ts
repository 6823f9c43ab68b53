import { STATUS, writeAfter } from '../../../formats/wire/nfs3.ts';
import type { XdrReader } from '../../../formats/wire/xdr.ts';
import {
  changeableDirectory,
  checkTakeable,
  readSubject,
  type Subject,
  writeWhatChanged,
} from './changing.ts';
import { attributesOf } from '../exports/exports.ts';
import { NfsFailure } from '../rpc/failure.ts';
import { readExistingName, readName } from './names.ts';
import { AFTER_LENGTH, CHANGE_LENGTH } from './nfs-limits.ts';
import { nfsOk, type Reply } from '../rpc/reply.ts';
import type { Caller, NfsHandlers, NfsServer } from './procedure.ts';

/** Procedures that move and remove names: REMOVE, RMDIR, RENAME, LINK. Durable before they are answered. */
export function namingProcedures({ exports }: NfsServer): NfsHandlers {
  function remove(kind: 'directory' | 'other') {
    return (args: XdrReader, caller: Caller, reply: Reply): void => {
      const from = readSubject(exports, args, caller);
      const name = readExistingName(args);
      const before = changeableDirectory(exports, from);
      checkTakeable(from, before, name);
      reply.later(0, async () => {
        await from.tree.remove(from.found.id, name, kind);
        const writer = nfsOk(reply, CHANGE_LENGTH);
        writeWhatChanged(writer, from.found, before);
        reply.end();
      });
    };
  }
  return {
    remove: remove('other'),
    rmdir: remove('directory'),
    rename(args, caller, reply) {
      const from = readSubject(exports, args, caller);
      const oldName = readExistingName(args);
      const to = readSubject(exports, args, caller);
      const newName = readName(args);
      checkSameTree(from, to);
      const [before, there] = [
        changeableDirectory(exports, from),
        changeableDirectory(exports, to),
      ];
      checkTakeable(from, before, oldName);
      checkTakeable(to, there, newName);
      reply.later(0, async () => {
        await from.tree.rename(
          { directory: from.found.id, name: oldName },
          { directory: to.found.id, name: newName },
        );
        const writer = nfsOk(reply, 2 * CHANGE_LENGTH);
        writeWhatChanged(writer, from.found, before);
        writeWhatChanged(writer, to.found, there);
        reply.end();
      });
    },
    link(args, caller, reply) {
      const it = readSubject(exports, args, caller);
      const into = readSubject(exports, args, caller);
      const name = readName(args);
      checkSameTree(it, into);
      const before = changeableDirectory(exports, into);
      reply.later(0, async () => {
        await it.tree.link(it.found.id, { directory: into.found.id, name });
        const writer = nfsOk(reply, AFTER_LENGTH + CHANGE_LENGTH);
        writeAfter(writer, attributesOf(it.found, exports.node(it.found)));
        writeWhatChanged(writer, into.found, before);
        reply.end();
      });
    },
  };
}

function checkSameTree(a: Subject, b: Subject): void {
  if (a.tree !== b.tree)
    throw new NfsFailure(STATUS.invalid, 'this would lead from one session to another');
}
