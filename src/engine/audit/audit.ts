import { type AuditEntry, encodeAudit } from '../../formats/store/service/audit.ts';
import type { JsonObject } from '../../lib/schema.ts';
import { MiB } from '../../lib/sizes.ts';
import { turns } from '../../lib/mutex.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';
import {
  type AuditCheck,
  type AuditFiles,
  auditPath,
  checkFiles,
  cutOff,
  lastEntries,
  makeFile,
  openEnd,
  openFiles,
  setAside,
} from './audit-files.ts';
import type { Caller } from '../base/caller.ts';

/** The record of who changed what, in files that are only appended to. */
export interface Audit {
  /** Resolves once the beginning of the change is durable; call the result with how it ended. Never rejects. */
  begin(who: Caller, what: string, request: JsonObject): Promise<AuditEnd>;
  /** Records a refused client. Never rejects. */
  refused(what: string, reason: string): Promise<void>;
  /** The last entries, newest last. */
  last(count: number): Promise<AuditEntry[]>;
  check(): Promise<AuditCheck>;
}

export type AuditEnd = (outcome: 'done' | 'failed', reason?: string) => Promise<void>;

/** A file is full at this length: some thousand entries. */
const FILE_LENGTH = 8 * MiB;
const REQUEST_MAX = 4096;
const REASON_MAX = 1024;

/** Rejects IO. A file whose end a power cut tore off is repaired, a damaged one set aside. */
export async function openAudit(
  world: World,
  directory: string,
  onTrouble: (message: string) => void,
  fileLength = FILE_LENGTH,
): Promise<Audit> {
  const { files, clock } = world;
  const path = auditPath(directory);
  const turn = turns();
  const end = await openEnd(world, directory);
  let { number, hash, size } = end;
  let turnAt = fileLength;

  /** Runs in its turn. A file that cannot be set aside continues for another length. */
  async function turnOver(): Promise<void> {
    try {
      await setAside(world, directory, number);
      size = 0;
      turnAt = fileLength;
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      turnAt = size + fileLength;
      onTrouble(`${path} is full, but could not be set aside: ${cause.message}`);
    }
  }
  /** Runs in its turn. Returns the number of the entry; undefined: it was not written. */
  async function add(entry: Omit<AuditEntry, 'number' | 'time'>): Promise<number | undefined> {
    const whole = { number: number + 1, time: clock.now().toISOString(), ...entry };
    const encoded = encodeAudit(whole, hash);
    try {
      if (size >= turnAt) await turnOver();
      // After a failure the file may exist without a durable name.
      if (size === 0) await makeFile(world, directory);
      await using file = await files.open(path, 'write');
      // An earlier failure may have left a partial line that could not be cut off.
      if ((await file.size()) > size) await file.truncate(size);
      await file.write(encoded.line, size);
      await file.sync();
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      // A check would report half a line as an alteration. If this fails, the next entry does it.
      await cutOff(world, path, size).catch(() => {});
      // Changes repair a full disk: they must not be refused because of it.
      onTrouble(`${entry.what} is missing in the audit log: ${cause.message}`);
      return undefined;
    }
    ({ hash } = encoded);
    size += encoded.line.length;
    return ++number;
  }
  // Only opening the files takes a turn: views must not hold up changes.
  const allFiles = (): Promise<AuditFiles> => turn(() => openFiles(world, directory, size));
  const self = { what: 'audit', uid: 0, gid: 0, pid: 0 };
  if (end.isTorn) await add({ ...self, outcome: 'torn' });
  if (end.damaged !== undefined) {
    const reason = `entries after number ${number} cannot be read: ${end.damaged} holds what is left of them`;
    onTrouble(`${path} was damaged: ${reason}`);
    await add({ ...self, outcome: 'failed', reason });
  }
  return {
    refused: (what, reason) =>
      turn(async () => void (await add({ what, outcome: 'failed', reason }))),
    async begin(caller, what, request) {
      const who = { what, ...namesOf(caller) };
      const { length } = JSON.stringify(request);
      const told = length > REQUEST_MAX ? { length } : request;
      const of = await turn(() => add({ ...who, outcome: 'begun', request: told }));
      // Without a begin entry, this one must contain the request.
      const asked = of === undefined ? { request: told } : { of };
      return async (outcome, reason) => {
        await turn(() => add({ ...who, outcome, ...asked, reason: reason?.slice(0, REASON_MAX) }));
      };
    },
    async last(count) {
      await using so = await allFiles();
      return await lastEntries(so, count);
    },
    async check() {
      await using so = await allFiles();
      return await checkFiles(so);
    },
  };
}

function namesOf(caller: Caller) {
  if ('token' in caller) return { token: caller.token, address: caller.address };
  const { uid, gids, pid } = caller;
  return { uid, gid: gids[0] ?? 0, pid };
}

/** Fields that an entry lacks are null in the result. */
export function toldEntry(entry: AuditEntry): ResultOf<'audit/show'>['entries'][number] {
  const { uid = null, gid = null, pid = null, token = null, address = null } = entry;
  const { number, time, what, outcome, of = null, request = null, reason = null } = entry;
  const who = { uid, gid, pid, token, address };
  return { number, time, what, ...who, outcome, of, request, reason };
}
