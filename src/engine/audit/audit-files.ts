import type { ResultOf } from '../../operations/operations.ts';
import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import {
  AUDIT_LINE_MAX,
  AUDIT_START,
  type AuditEntry,
  type AuditHash,
  decodeAudit,
} from '../../formats/store/service/audit.ts';
import { concatBytes } from '../../lib/bytes.ts';
import { MiB } from '../../lib/sizes.ts';
import type { File } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';

/* The files of the audit log; only the last one is written: see formats/store/service/audit.md. */

export interface AuditEnd {
  /** The number of the last entry. */
  readonly number: number;
  readonly hash: AuditHash;
  /** The size, at which the next line is written. */
  readonly size: number;
  /** Whether a partial line after the last whole one was cut off. */
  readonly isTorn: boolean;
  /** More than that followed: the new name of the damaged file. */
  readonly damaged: string | undefined;
}

interface FileEnd extends Omit<AuditEnd, 'damaged'> {
  readonly isDamaged: boolean;
}

const NAME = 'audit.log';
const FULL = /^audit-\d{12}\.log$/;
/** The end of a file, to find where to continue. */
const TAIL_LENGTH = 4 * AUDIT_LINE_MAX;
/** The longest request and the longest reason, each character of which takes several bytes. */
const TORN_LENGTH_MAX = 2 * AUDIT_LINE_MAX;
/** Limit of what is read for one answer of at most 10,000 entries. */
const SHOWN_LENGTH_MAX = 8 * MiB;
/** The length that is checked at once. */
const PIECE_LENGTH = MiB;
const LINES_AT_ONCE = 200;
const NEWLINE = 0x0a;

export function auditPath(directory: string): string {
  return join(directory, NAME);
}

/** Full files, beginning with the oldest. */
async function fullFiles({ files }: World, directory: string): Promise<readonly string[]> {
  return (await files.list(directory)).filter((name) => FULL.test(name));
}

const EMPTY: FileEnd = {
  ...{ number: 0, hash: AUDIT_START, size: 0 },
  ...{ isTorn: false, isDamaged: false },
};

/**
 * Repairs the end of the current file: a partial line is cut off, and a damaged file is set aside unchanged. Creates
 * none: the service must start even if the disk is full.
 */
export async function openEnd(world: World, directory: string): Promise<AuditEnd> {
  const path = auditPath(directory);
  const end = (await world.files.stat(path)) ? await endOf(world, path) : EMPTY;
  const before = (await fullFiles(world, directory)).at(-1);
  // Nothing was written since `setAside`, or ever before.
  const isNew = end.number === 0 && before !== undefined;
  const { number, hash } = isNew ? await endOf(world, join(directory, before)) : end;
  if (!end.isDamaged) {
    // If that fails, it is done with the first entry.
    if (end.isTorn) await cutOff(world, path, end.size).catch(onlySystem);
    return { number, hash, size: end.size, isTorn: end.isTorn, damaged: undefined };
  }
  let free = number;
  while (await world.files.stat(fullPath(directory, free))) free++;
  await setAside(world, directory, free);
  return { number, hash, size: 0, isTorn: false, damaged: fullPath(directory, free) };
}

/** Rejects SystemError. */
export async function cutOff({ files }: World, path: string, size: number): Promise<void> {
  await using file = await files.open(path, 'write');
  await file.truncate(size);
  await file.sync();
}

function fullPath(directory: string, last: number): string {
  return join(directory, `audit-${String(last).padStart(12, '0')}.log`);
}

/** Renames the file to the number of its last entry; nothing may be written before `makeFile`. Rejects EXISTS. */
export async function setAside({ files }: World, directory: string, last: number): Promise<void> {
  const full = fullPath(directory, last);
  if (await files.stat(full)) throw new SystemError('EXISTS', `${full} exists already`);
  await files.rename(auditPath(directory), full);
}

/** Creates the file if it is missing; makes it, and earlier changes in the directory, durable. */
export async function makeFile({ files }: World, directory: string): Promise<void> {
  const path = auditPath(directory);
  if (!(await files.stat(path))) await (await files.create(path))[Symbol.asyncDispose]();
  await files.syncDirectory(directory);
}

/** All files as they are now; later entries and renames do not affect the holder of this. */
export interface AuditFiles extends AsyncDisposable {
  readonly world: World;
  readonly directory: string;
  /** Full files, beginning with the oldest. */
  readonly full: readonly string[];
  /** The current file, and its length; undefined: it does not exist yet. */
  readonly current: File | undefined;
  readonly length: number;
}

/** `written`: the known length of the current file. Rejects NOT_FOUND if it is missing nevertheless. */
export async function openFiles(
  world: World,
  directory: string,
  written: number,
): Promise<AuditFiles> {
  const full = await fullFiles(world, directory);
  const path = auditPath(directory);
  const isThere = written > 0 || (await world.files.stat(path)) !== undefined;
  const current = isThere ? await world.files.open(path, 'read') : undefined;
  const length = (await current?.size()) ?? 0;
  return {
    ...{ world, directory, full, current, length },
    [Symbol.asyncDispose]: async () => current?.[Symbol.asyncDispose](),
  };
}

/**
 * The last entries, newest last. Damaged ones are left out, because `checkFiles` reports them. Rejects CORRUPT, with
 * the newest damaged file, if no entry is left.
 */
export async function lastEntries(so: AuditFiles, count: number): Promise<AuditEntry[]> {
  const { world, directory, full, current, length } = so;
  const newestFirst: AuditEntry[] = [];
  let damaged: string | undefined;
  const take = (name: string, lines: readonly string[]): void => {
    for (const line of lines.toReversed()) {
      if (newestFirst.length >= count) return;
      const entry = decoded(line)?.entry;
      if (entry) newestFirst.push(entry);
      else damaged ??= name;
    }
  };
  if (current) take(NAME, await linesAtEnd(current, length, SHOWN_LENGTH_MAX));
  let left = SHOWN_LENGTH_MAX - length;
  for (const name of full.toReversed()) {
    if (newestFirst.length >= count || left <= 0) break;
    await using file = await world.files.open(join(directory, name), 'read');
    const size = await file.size();
    take(name, await linesAtEnd(file, size, left));
    left -= size;
  }
  if (newestFirst.length > 0 || damaged === undefined) return newestFirst.toReversed();
  const path = join(directory, damaged);
  throw new FormatError('CORRUPT', `${path} has no readable entry: see "audit check"`);
}

/** The newest whole lines of the first `length` bytes, at most `max` bytes of them. */
async function linesAtEnd(file: File, length: number, max: number): Promise<string[]> {
  const tail = new Uint8Array(Math.min(length, max));
  const read = await file.read(tail, length - tail.length);
  const lines = Buffer.from(tail.subarray(0, read)).toString('utf8').split('\n').slice(0, -1);
  return tail.length < length ? lines.slice(1) : lines;
}

export type AuditCheck = ResultOf<'audit/check'>;

/** Checks all files; the chain continues across them. */
export async function checkFiles(of: AuditFiles): Promise<AuditCheck> {
  const { world, directory, full, current, length } = of;
  let so: AuditCheck = { entries: 0, first: 1, hash: AUDIT_START, problem: null };
  for (const name of full) {
    await using file = await world.files.open(join(directory, name), 'read');
    so = await checkFile(world, { file, length: await file.size(), name }, so);
    if (so.problem !== null) return so;
  }
  return current ? checkFile(world, { file: current, length, name: NAME }, so) : so;
}

async function checkFile(
  { clock }: World,
  { file, length, name }: { readonly file: File; readonly length: number; readonly name: string },
  so: AuditCheck,
): Promise<AuditCheck> {
  let { entries, first, hash } = so;
  let lines = 0;
  for await (const line of linesOf(file, length)) {
    lines++;
    try {
      const { number } = decodeAudit(line, undefined).entry;
      // What preceded the first remaining entry is unknown.
      if (entries === 0) first = number;
      const next = decodeAudit(line, entries === 0 && number > 1 ? undefined : hash);
      if (number !== first + entries) throw new FormatError('CORRUPT', 'a number is missing');
      ({ hash } = next);
      entries++;
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      return { entries, first, hash, problem: `${name}, line ${lines}: ${cause.message}` };
    }
    // Guests are served by this thread.
    if (entries % LINES_AT_ONCE === 0) await clock.sleep(0);
  }
  return { entries, first, hash, problem: null };
}

/** The lines of the first `length` bytes, without their ends; the last may have none. Overlong lines are cut. */
async function* linesOf(file: File, length: number): AsyncGenerator<string> {
  let rest: Uint8Array = new Uint8Array(0);
  for (let at = 0; at < length; ) {
    const piece = new Uint8Array(Math.min(PIECE_LENGTH, length - at));
    const read = await file.read(piece, at);
    // A failed write was cut off in the meantime.
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

/** Finds the end of a file without changing it. */
async function endOf({ files }: World, path: string): Promise<FileEnd> {
  await using file = await files.open(path, 'read');
  const size = await file.size();
  const last =
    (await lastEntry(file, size, TAIL_LENGTH)) ?? (await lastEntry(file, size, SHOWN_LENGTH_MAX));
  const end = { number: last?.number ?? 0, hash: last?.hash ?? AUDIT_START, size: last?.end ?? 0 };
  if (end.size === size) return { ...end, isTorn: false, isDamaged: false };
  const isTorn = await isOneLine(file, end.size, size);
  return { ...end, isTorn, isDamaged: !isTorn };
}

/** The newest readable entry in the last `max` bytes, and where its line ends. */
async function lastEntry(file: File, size: number, max: number) {
  const tail = new Uint8Array(Math.min(size, max));
  await file.read(tail, size - tail.length);
  for (let end = tail.lastIndexOf(NEWLINE) + 1; end > 1; ) {
    const start = tail.lastIndexOf(NEWLINE, end - 2) + 1;
    const found = decoded(Buffer.from(tail.subarray(start, end - 1)).toString('utf8'));
    if (found) {
      return { number: found.entry.number, hash: found.hash, end: size - tail.length + end };
    }
    end = start;
  }
  return undefined;
}

/** Whether only the rest of one line, torn by a power cut, lies from `start` on: its middle may be missing. */
async function isOneLine(file: File, start: number, size: number): Promise<boolean> {
  if (size - start > TORN_LENGTH_MAX) return false;
  const rest = new Uint8Array(size - start);
  await file.read(rest, start);
  const newline = rest.indexOf(NEWLINE);
  return newline < 0 || newline === rest.length - 1;
}

/** Undefined: the line is not an entry. */
function decoded(line: string): ReturnType<typeof decodeAudit> | undefined {
  try {
    return decodeAudit(line, undefined);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return undefined;
  }
}

function onlySystem(cause: unknown): void {
  if (!(cause instanceof SystemError)) throw cause;
}
