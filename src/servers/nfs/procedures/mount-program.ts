import { PROGRAMS } from '../../../formats/wire/rpc.ts';
import { FormatError } from '../../../formats/format-error.ts';
import { STATUS } from '../../../formats/wire/nfs3.ts';
import { EXPORT_PATH } from '../exports/export-path.ts';
import type { Exports } from '../exports/exports.ts';
import { NfsFailure, statusOf } from '../rpc/failure.ts';
import { FILE_HANDLE_LENGTH } from '../exports/handles.ts';
import { readPath } from './names.ts';
import { nullProcedure } from './null-procedure.ts';
import { nfsError } from '../rpc/reply.ts';
import type { Peer } from '../../../sys/net/network.ts';
import type { Handler, Program } from './procedure.ts';
import type { Found } from '../exports/export-entry.ts';

const AUTH_SYS = 1;
/** The longest list of hosts that `showmount` shows. */
const GROUPS_LENGTH_MAX = 32 * 1024;

/** MOUNT version 3 (RFC 1813, appendix I): leads from a path to the first handle. */
export function mountProgram(exports: Exports): Program {
  /** Finds the export, or a directory in it, which clients may mount on its own. */
  function find(path: string, peer: Peer): Found {
    const names = path.split('/').filter((name) => name !== '');
    if (names[0] !== EXPORT_PATH.slice(1)) {
      throw new NfsFailure(STATUS.notFound, `only ${EXPORT_PATH} is exported`);
    }
    if (!exports.admits(peer)) throw new NfsFailure(STATUS.access, 'this host has no access');
    let found: Found = exports.root;
    for (const name of names.slice(1)) {
      const next = exports.lookup(found, name, peer);
      if (!next) throw new NfsFailure(STATUS.notFound, `there is no "${name}"`);
      found = next;
    }
    if (exports.node(found).kind !== 'directory') {
      throw new NfsFailure(STATUS.notDirectory, 'a file cannot be mounted');
    }
    return found;
  }
  const handlers: readonly (Handler | undefined)[] = [
    nullProcedure,
    // MNT
    (args, { peer }, reply) => {
      const found = find(readPath(args), peer);
      const writer = reply.begin(16 + FILE_HANDLE_LENGTH);
      writer.u32(STATUS.ok);
      exports.write(writer, found);
      writer.u32(1);
      writer.u32(AUTH_SYS);
      reply.end();
    },
    // DUMP: mounts are not recorded, since clients do not report unmounting.
    (_args, _caller, reply) => {
      reply.begin(4).flag(false);
      reply.end();
    },
    // UMNT, UMNTALL
    nullProcedure,
    nullProcedure,
    // EXPORT
    (_args, { peer }, reply) => {
      const writer = reply.begin(GROUPS_LENGTH_MAX + 64);
      const groups = groupsOf(exports, peer);
      writer.flag(groups.length > 0);
      if (groups.length > 0) {
        writer.text(EXPORT_PATH);
        for (const group of groups) {
          writer.flag(true);
          writer.text(group);
        }
        writer.flag(false);
        writer.flag(false);
      }
      reply.end();
    },
  ];
  return {
    ...PROGRAMS.mount,
    procedure: (number) => handlers[number],
    happensOnce: () => false,
    fail(_number, reply, cause) {
      if (cause instanceof FormatError) throw cause;
      nfsError(reply, statusOf(cause), 0);
    },
  };
}

/** The networks that contain the peer, as many as fit. Others are hidden from it. */
function groupsOf(exports: Exports, peer: Peer): string[] {
  const names = new Set(exports.networks(peer));
  let length = 0;
  return [...names].filter((name) => (length += name.length + 12) < GROUPS_LENGTH_MAX);
}
