import { FormatError } from '../../../formats/format-error.ts';
import { PROGRAMS } from '../../../formats/wire/rpc.ts';
import { type Procedure, PROCEDURES } from '../../../formats/wire/nfs3.ts';
import { statusOf } from '../rpc/failure.ts';
import { creatingProcedures } from './nfs-creating.ts';
import { directoryProcedures } from './nfs-directories.ts';
import { fileSystemProcedures } from './nfs-file-system.ts';
import { namingProcedures } from './nfs-naming.ts';
import { nullProcedure } from './null-procedure.ts';
import { readingProcedures } from './nfs-reading.ts';
import { writingProcedures } from './nfs-writing.ts';
import { nfsError } from '../rpc/reply.ts';
import type { NfsServer, NfsHandlers, Program } from './procedure.ts';

/** How many zeros follow the status of an error: they say that no attributes follow. */
const ERROR_WORDS = {
  null: 0,
  getattr: 0,
  setattr: 2,
  lookup: 1,
  access: 1,
  readlink: 1,
  read: 1,
  write: 2,
  create: 2,
  mkdir: 2,
  symlink: 2,
  mknod: 2,
  remove: 2,
  rmdir: 2,
  rename: 4,
  link: 3,
  readdir: 1,
  readdirplus: 1,
  fsstat: 1,
  fsinfo: 1,
  pathconf: 1,
  commit: 2,
} as const satisfies Record<Procedure, number>;

const ONCE: ReadonlySet<Procedure> = new Set([
  'setattr',
  'create',
  'mkdir',
  'symlink',
  'mknod',
  'remove',
  'rmdir',
  'rename',
  'link',
]);

export function nfsProgram(server: NfsServer): Program {
  const handlers: NfsHandlers = {
    null: nullProcedure,
    ...readingProcedures(server),
    ...directoryProcedures(server),
    ...fileSystemProcedures(server),
    ...writingProcedures(server),
    ...creatingProcedures(server),
    ...namingProcedures(server),
  };
  return {
    ...PROGRAMS.nfs,
    procedure(number) {
      const name = PROCEDURES[number];
      return name && handlers[name];
    },
    happensOnce: (number) => ONCE.has(PROCEDURES[number]!),
    fail(number, reply, cause) {
      // Invalid arguments are answered on the RPC level.
      if (cause instanceof FormatError) throw cause;
      nfsError(reply, statusOf(cause), ERROR_WORDS[PROCEDURES[number]!]);
    },
  };
}
