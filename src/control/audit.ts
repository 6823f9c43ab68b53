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
import { concatBytes } from '../lib/bytes.ts';
import type { JsonObject } from '../lib/schema.ts';
import { turns } from '../lib/turns.ts';
import type { File } from '../sys/file-system.ts';
import { SystemError } from '../sys/system-error.ts';
import type { UnixPeer } from '../sys/unix-peer.ts';
import type { World } from '../sys/world.ts';
import { MiB } from '../lib/sizes.ts';

/** Who changed what, as one file that is only ever added to. */
export interface Audit {
  /** Resolves once it is durable that the change begins; then call with how it ended. Never rejects. */
  begin(who: UnixPeer, what: string, request: JsonObject): Promise<AuditEnd>;
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
/** What is checked at once. */
const PIECE_LENGTH = 1 * MiB;
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

  /** In its turn. Answers its number; undefined: it is not there. */
  async function add(entry: Omit<AuditEntry, 'number' | 'time'>): Promise<number | undefined> {
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
      return undefined;
    }
    ({ hash } = encoded);
    size += encoded.line.length;
    return ++number;
  }
  if (end.isTorn) {
    await add({ what: 'audit', uid: 0, gid: 0, pid: 0, outcome: 'torn' });
  }
  return {
    async begin({ uid, pid, gids }, what, request) {
      const who = { what, uid, gid: gids[0] ?? 0, pid };
      const { length } = JSON.stringify(request);
      const told = length > REQUEST_MAX ? { length } : request;
      const of = await turn(() => add({ ...who, outcome: 'begun', request: told }));
      // Without its beginning it has to say itself what was asked.
      const asked = of === undefined ? { request: told } : { of };
      return async (outcome, reason) => {
        await turn(() => add({ ...who, outcome, ...asked, reason: reason?.slice(0, REASON_MAX) }));
      };
    },
    // Only the length is taken in turn: whoever looks must not hold up those who change something.
    async last(count) {
      const lines = await linesAtEnd(world, path, await turn(() => lengthOf(world, path)));
      return lines.slice(-count).map((line) => decodeAudit(line, undefined).entry);
    },
    check: async () => checked(world, path, await turn(() => lengthOf(world, path))),
  };
}

async function lengthOf({ files }: World, path: string): Promise<number> {
  await using file = await files.open(path, 'read');
  return file.size();
}

/** The newest whole lines of the first `length` bytes. */
async function linesAtEnd({ files }: World, path: string, length: number): Promise<string[]> {
  await using file = await files.open(path, 'read');
  const tail = new Uint8Array(Math.min(length, SHOWN_LENGTH_MAX));
  const read = await file.read(tail, length - tail.length);
  const lines = Buffer.from(tail.subarray(0, read)).toString('utf8').split('\n').slice(0, -1);
  return tail.length < length ? lines.slice(1) : lines;
}

/** Of the first `length` bytes: what is added meanwhile is left to the next check. */
async function checked({ files, clock }: World, path: string, length: number): Promise<AuditCheck> {
  await using file = await files.open(path, 'read');
  let hash = AUDIT_START;
  let entries = 0;
  for await (const line of linesOf(file, length)) {
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

/** Of the first `length` bytes, without their ends; the last may have none. What is too long is no line, and cut. */
async function* linesOf(file: File, length: number): AsyncGenerator<string> {
  let rest: Uint8Array = new Uint8Array(0);
  for (let at = 0; at < length; ) {
    const piece = new Uint8Array(Math.min(PIECE_LENGTH, length - at));
    const read = await file.read(piece, at);
    // What failed to be written was cut off meanwhile.
    if (read === 0) break;
    at += read;
    const bytes = concatBytes(rest.subarray(0, TAIL_LENGTH), piece.subarray(0, read));
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      yield Buffer.from(bytes.subarray(start, end)).toString('utf8');
      start = end + 1;
    }
    rest = bytes.subarray(start);
  }
  if (rest.length > 0) yield Buffer.from(rest).toString('utf8');
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
