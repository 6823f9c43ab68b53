import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import {
  AUDIT_LINE_MAX,
  AUDIT_START,
  type AuditEntry,
  type AuditHash,
  decodeAudit,
} from '../formats/store/audit.ts';
import { MiB } from '../lib/sizes.ts';
import type { World } from '../sys/world.ts';

/* The files of the audit log, of which the last one is written: see formats/store/audit.md. */

export interface AuditEnd {
  /** Of the last entry. */
  readonly number: number;
  readonly hash: AuditHash;
  /** Where the next line is written. */
  readonly size: number;
  /** Something followed the last whole line, and was cut off. */
  readonly isTorn: boolean;
}

const NAME = 'audit.log';
const FULL = /^audit-\d{12}\.log$/;
/** One file is read as a whole; before there were several it could have this length. */
const LENGTH_MAX = 256 * MiB;
/** The newest entries, for those who want to know where to go on. */
const TAIL_LENGTH = 4 * AUDIT_LINE_MAX;
/** Of these, 10,000 are told of at once. */
const SHOWN_LENGTH_MAX = 8 * MiB;
const LINES_AT_ONCE = 200;
const NEWLINE = 0x0a;

export function auditPath(directory: string): string {
  return join(directory, NAME);
}

/** From the oldest on; the last one is there always. */
async function filesOf({ files }: World, directory: string): Promise<readonly string[]> {
  const full = (await files.list(directory)).filter((name) => FULL.test(name));
  return [...full, NAME];
}

/** Makes the file that is written, if it is not there, and mends its end. */
export async function openEnd(world: World, directory: string): Promise<AuditEnd> {
  const { files } = world;
  const path = auditPath(directory);
  if (!(await files.stat(path))) await makeFile(world, directory);
  const end = await endOf(world, path);
  if (end.number > 0) return end;
  // Just begun, or a power cut came between the two steps of `beginFile`.
  const before = (await filesOf(world, directory)).at(-2);
  if (before === undefined) return end;
  const { number, hash } = await endOf(world, join(directory, before));
  return { ...end, number, hash };
}

/** What was written stays under the number of its last entry; a new file goes on. */
export async function beginFile(world: World, directory: string, last: number): Promise<void> {
  const full = `audit-${String(last).padStart(12, '0')}.log`;
  await world.files.rename(auditPath(directory), join(directory, full));
  await makeFile(world, directory);
}

async function makeFile({ files }: World, directory: string): Promise<void> {
  await using _made = await files.create(auditPath(directory));
  await files.syncDirectory(directory);
}

/** The newest last. */
export async function lastEntries(
  world: World,
  directory: string,
  count: number,
): Promise<AuditEntry[]> {
  const lines: string[] = [];
  let length = SHOWN_LENGTH_MAX;
  for (const name of (await filesOf(world, directory)).toReversed()) {
    if (lines.length >= count || length <= 0) break;
    const found = await linesAtEnd(world, join(directory, name), length);
    length -= found.reduce((sum, line) => sum + line.length, 0);
    lines.unshift(...found);
  }
  return lines.slice(-count).map((line) => decodeAudit(line, undefined).entry);
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

export interface AuditCheck {
  readonly entries: number;
  /** The number of the first one that is here: not 1 where older files were taken away. */
  readonly first: number;
  /** Of the newest entry: where it is kept elsewhere, nothing before it can be altered. */
  readonly hash: AuditHash;
  readonly problem: string | null;
}

/** Through all files; the chain goes on over them. */
export async function checkFiles(world: World, directory: string): Promise<AuditCheck> {
  let so: AuditCheck = { entries: 0, first: 1, hash: AUDIT_START, problem: null };
  for (const name of await filesOf(world, directory)) {
    so = await checkFile(world, join(directory, name), so);
    if (so.problem !== null) return { ...so, problem: `${name}, ${so.problem}` };
  }
  return so;
}

async function checkFile(
  { files, clock }: World,
  path: string,
  so: AuditCheck,
): Promise<AuditCheck> {
  const text = Buffer.from(await files.readFile(path, LENGTH_MAX)).toString('utf8');
  let { entries, first, hash } = so;
  for (let at = 0, lines = 1; at < text.length; lines++) {
    const end = text.indexOf('\n', at);
    const line = text.slice(at, end < 0 ? text.length : end);
    at = end < 0 ? text.length : end + 1;
    try {
      const { number } = decodeAudit(line, undefined).entry;
      // Of the first one that is left nobody knows what stood before it.
      if (entries === 0) first = number;
      const next = decodeAudit(line, entries === 0 && number > 1 ? undefined : hash);
      if (number !== first + entries) throw new FormatError('CORRUPT', 'a number is missing');
      ({ hash } = next);
      entries++;
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      return { entries, first, hash, problem: `line ${lines}: ${cause.message}` };
    }
    // Guests are served by this thread.
    if (entries % LINES_AT_ONCE === 0) await clock.sleep(0);
  }
  return { entries, first, hash, problem: null };
}

/** Where to go on; what follows the last whole line is cut off, and that line too if its middle was torn. */
async function endOf({ files }: World, path: string): Promise<AuditEnd> {
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
