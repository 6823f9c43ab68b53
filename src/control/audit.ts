import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import {
  AUDIT_LINE_MAX,
  AUDIT_START,
  type AuditEntry,
  type AuditHash,
  decodeAudit,
  encodeAudit,
} from '../formats/store/audit.ts';
import type { JsonObject } from '../lib/schema.ts';
import { turns } from '../lib/turns.ts';
import type { Caller } from './caller.ts';
import type { ResultOf } from '../protocol/operations.ts';
import { SystemError } from '../sys/system-error.ts';
import type { World } from '../sys/world.ts';
import { MiB } from '../lib/sizes.ts';

/** Who changed what, as one file that is only ever added to. */
export interface Audit {
  /** Resolves once it is durable that the change begins; then call with how it ended. Never rejects. */
  begin(who: Caller, what: string, request: JsonObject): Promise<AuditEnd>;
  /** Who was not let in. Never rejects. */
  refused(what: string, reason: string): Promise<void>;
  /** The newest last. */
  last(count: number): Promise<AuditEntry[]>;
  check(): Promise<AuditCheck>;
}

export type AuditEnd = (outcome: 'done' | 'failed', reason?: string) => Promise<void>;

export interface AuditCheck {
  readonly entries: number;
  /** Of the newest entry: where it is kept elsewhere, nothing before it can be altered. */
  readonly hash: AuditHash;
  readonly problem: string | null;
}

const NAME = 'audit.log';
/** The newest entries, for those who want to know where to go on. */
const TAIL_LENGTH = 4 * AUDIT_LINE_MAX;
/** Some hundred thousand changes. */
const LENGTH_MAX = 256 * MiB;
/** Of these, 10,000 are told of at once. */
const SHOWN_LENGTH_MAX = 8 * MiB;
const LINES_AT_ONCE = 200;
const NEWLINE = 0x0a;
const REQUEST_MAX = 4096;
const REASON_MAX = 1024;

/** Rejects IO. A file whose end was torn off by a power cut is mended; one that was altered is for `check` to tell. */
export async function openAudit(
  world: World,
  directory: string,
  onTrouble: (message: string) => void,
): Promise<Audit> {
  const { files, clock } = world;
  const path = join(directory, NAME);
  const turn = turns();
  if (!(await files.stat(path))) {
    await using _made = await files.create(path);
    await files.syncDirectory(directory);
  }
  const end = await endOf(world, path);
  let { number, hash, size } = end;

  /** In its turn. Answers its number. */
  async function add(entry: Omit<AuditEntry, 'number' | 'time'>): Promise<number> {
    const whole = { number: number + 1, time: clock.now().toISOString(), ...entry };
    const encoded = encodeAudit(whole, hash);
    try {
      await using file = await files.open(path, 'write');
      // What failed before may have left a part of a line.
      if ((await file.size()) > size) await file.truncate(size);
      await file.write(encoded.line, size);
      await file.sync();
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      // A full disk is mended by changes: they must not be refused for it.
      onTrouble(`${entry.what} is missing in the audit log: ${cause.message}`);
      return number;
    }
    ({ hash } = encoded);
    size += encoded.line.length;
    return ++number;
  }
  if (end.isTorn) {
    await add({ what: 'audit', uid: 0, gid: 0, pid: 0, outcome: 'torn' });
  }
  return {
    refused: (what, reason) =>
      turn(async () => void (await add({ what, outcome: 'failed', reason }))),
    async begin(caller, what, request) {
      const who = { what, ...namesOf(caller) };
      const { length } = JSON.stringify(request);
      const told = length > REQUEST_MAX ? { length } : request;
      const of = await turn(() => add({ ...who, outcome: 'begun', request: told }));
      return async (outcome, reason) => {
        await turn(() => add({ ...who, outcome, of, reason: reason?.slice(0, REASON_MAX) }));
      };
    },
    last: (count) =>
      turn(async () => {
        const lines = await linesAtEnd(world, path, SHOWN_LENGTH_MAX);
        return lines.slice(-count).map((line) => decodeAudit(line, undefined).entry);
      }),
    check: () => turn(() => checked(world, path)),
  };
}

function namesOf(caller: Caller) {
  if ('token' in caller) return { token: caller.token, address: caller.address };
  const { uid, gids, pid } = caller;
  return { uid, gid: gids[0] ?? 0, pid };
}

/** What an entry does not know is null to those who ask. */
export function toldEntry(entry: AuditEntry): ResultOf<'audit/show'>['entries'][number] {
  const { uid = null, gid = null, pid = null, token = null, address = null } = entry;
  const { number, time, what, outcome, of = null, request = null, reason = null } = entry;
  const who = { uid, gid, pid, token, address };
  return { number, time, what, ...who, outcome, of, request, reason };
}

/** The whole lines among the last `length` bytes. */
async function linesAtEnd({ files }: World, path: string, length: number): Promise<string[]> {
  await using file = await files.open(path, 'read');
  const size = await file.size();
  const tail = new Uint8Array(Math.min(size, length));
  await file.read(tail, size - tail.length);
  const lines = Buffer.from(tail).toString('utf8').split('\n').slice(0, -1);
  return tail.length < size ? lines.slice(1) : lines;
}

async function checked({ files, clock }: World, path: string): Promise<AuditCheck> {
  const text = Buffer.from(await files.readFile(path, LENGTH_MAX)).toString('utf8');
  let hash = AUDIT_START;
  let entries = 0;
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at);
    const line = text.slice(at, end < 0 ? text.length : end);
    at = end < 0 ? text.length : end + 1;
    try {
      const next = decodeAudit(line, hash);
      if (next.entry.number !== entries + 1)
        throw new FormatError('CORRUPT', 'a number is missing');
      ({ hash } = next);
      entries++;
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      return { entries, hash, problem: `line ${entries + 1}: ${cause.message}` };
    }
    // Guests are served by this thread.
    if (entries % LINES_AT_ONCE === 0) await clock.sleep(0);
  }
  return { entries, hash, problem: null };
}

/** Where to go on; what follows the last whole line is cut off, and that line too if its middle was torn. */
async function endOf({ files }: World, path: string) {
  await using file = await files.open(path, 'write');
  const size = await file.size();
  const tail = new Uint8Array(Math.min(size, TAIL_LENGTH));
  await file.read(tail, size - tail.length);
  let whole = tail.lastIndexOf(NEWLINE) + 1;
  let last = lastLine(tail, whole);
  if (whole > 0 && !last) {
    whole = whole < 2 ? 0 : tail.lastIndexOf(NEWLINE, whole - 2) + 1;
    last = lastLine(tail, whole);
  }
  const end = size - tail.length + whole;
  const isTorn = end < size;
  if (isTorn) {
    await file.truncate(end);
    await file.sync();
  }
  // Without a last line all was altered: what comes from now on stands, and `check` tells where that begins.
  return { number: last?.entry.number ?? 0, hash: last?.hash ?? AUDIT_START, size: end, isTorn };
}

/** The line that ends before `end`; undefined: it is none. */
function lastLine(bytes: Uint8Array, end: number): ReturnType<typeof decodeAudit> | undefined {
  if (end < 2) return undefined;
  const start = bytes.lastIndexOf(NEWLINE, end - 2) + 1;
  try {
    return decodeAudit(Buffer.from(bytes.subarray(start, end - 1)).toString('utf8'), undefined);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return undefined;
  }
}
