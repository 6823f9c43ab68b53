import { join } from 'node:path/posix';
import type { DomainKeys } from '../formats/store/packs/frame.ts';
import { isSummed } from '../formats/store/base/json-record.ts';
import {
  decodeSet,
  encodeSet,
  isSealedBy,
  type SetRecord,
} from '../formats/store/catalog/set-record.ts';
import { copyRecord } from '../store/directory/record-copies.ts';
import type { Store } from '../store/directory/store.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { CatalogError } from './catalog-error.ts';
import { checkName } from './names.ts';
import { readRecord } from './read-record.ts';

/*
 * The record of a set exists twice: losing one file must not lose a set's keys. Either copy is enough; of two whole
 * ones the newer counts, and the next writer that has the key restores the other one.
 */
const RECORD_LENGTH_MAX = 64 * 1024;
const RECORD = 'set.json';
const COPY = 'set.copy.json';

export const RECORD_MISSING =
  'both copies of the record are missing: "set import-key" recreates it from a key on paper';

export interface RecordProblem {
  readonly path: string;
  readonly reason: string;
}

export function setDirectory(store: Store, set: string): string {
  return join(store.directory, 'sets', set);
}

/** Whether there is a copy, whole or not. */
export async function hasSetRecord(store: Store, name: string): Promise<boolean> {
  const { files } = store;
  for (const file of [RECORD, COPY]) {
    if (await files.stat(join(setDirectory(store, name), file))) return true;
  }
  return false;
}

/** Both copies. Resolves with the reason if the third one, in `copies`, cannot be written. */
export async function writeSetRecord(store: Store, record: SetRecord): Promise<string | undefined> {
  const { files } = store;
  const bytes = encodeSet(record);
  for (const file of [RECORD, COPY]) {
    await putDurably(files, join(setDirectory(store, record.name), file), bytes);
  }
  return copyRecord(store, join(setDirectory(store, record.name), RECORD), bytes);
}

/** Reports defects in the copies of a set's record. */
export async function checkSetRecords(
  store: Store,
  name: string,
): Promise<readonly RecordProblem[]> {
  const { record, problems } = await readCopies(store, name);
  if (record !== undefined || problems.length > 0) return problems;
  return [{ path: join(setDirectory(store, name), RECORD), reason: RECORD_MISSING }];
}

/**
 * Rewrites damaged, missing or older copies of an opened set's record. Another process may have changed the slots of
 * the set since it was opened: an older record is never written over a newer one. The caller holds the store's lock.
 * Rejects CORRUPT for a whole copy of another set, or that the set's key did not seal: it may hold the only slots of
 * other points.
 */
export async function mendSetRecord(
  store: Store,
  {
    name,
    record,
    keys,
  }: { readonly name: string; readonly record: SetRecord; readonly keys: DomainKeys },
): Promise<void> {
  const directory = setDirectory(store, name);
  const copies: { readonly path: string; readonly copy: Copy }[] = [];
  for (const path of [join(directory, RECORD), join(directory, COPY)]) {
    const copy = await readCopy(store, path, name);
    if (isOfOtherSet(copy, record, keys)) {
      const what = `${path} was altered, or belongs to another set of this name: it does not match the set's key`;
      throw new CatalogError(
        'CORRUPT',
        `${what}; nothing is written over it. Move the wrong copy away`,
      );
    }
    copies.push({ path, copy });
  }
  const newest = copies
    .flatMap(({ copy }) => (copy.record && isSealedBy(copy.record, keys.record) ? copy.record : []))
    .reduce((a, b) => (counterOf(b) > counterOf(a) ? b : a), record);
  const bytes = encodeSet(newest);
  for (const { path, copy } of copies) {
    const isRight = copy.record && Buffer.compare(encodeSet(copy.record), bytes) === 0;
    if (!isRight || !copy.isSummed) await putDurably(store.files, path, bytes);
  }
}

/** A copy without a checksum may be damaged, and one without a seal is of an earlier release: both are replaced. */
function isOfOtherSet({ record: copy, isSummed }: Copy, own: SetRecord, keys: DomainKeys): boolean {
  if (!copy || !isSummed) return false;
  const isOtherDomain = Buffer.compare(copy.domain, own.domain) !== 0;
  return isOtherDomain || (copy.seal !== undefined && !isSealedBy(copy, keys.record));
}

const counterOf = ({ seal }: SetRecord): number => seal?.counter ?? 0;

/**
 * The record as its two copies give it. The release of 22 November wrote one, without a checksum: if that differs
 * from a copy with a checksum, it was damaged. Of two with checksums the newer counts, if both belong to one set and
 * are both encrypted or both not: `unlockSet` checks whether its counter is authentic. Otherwise neither is trusted,
 * nor written over the other, which may hold the only slots that open the set.
 */
export async function readCopies(
  store: Store,
  name: string,
): Promise<{ readonly record: SetRecord | undefined; readonly problems: RecordProblem[] }> {
  checkName(name, 'backup set');
  const directory = setDirectory(store, name);
  const path = join(directory, RECORD);
  const copyPath = join(directory, COPY);
  const first = await readCopy(store, path, name);
  const copy = await readCopy(store, copyPath, name);
  const problems = [first, copy].flatMap(({ problem }) => problem ?? []);
  if (first.record && copy.record && !isSame(first.record, copy.record)) {
    const found = newerOf({ first, copy, path, copyPath });
    return { record: found.record, problems: [...problems, found.problem] };
  }
  const isCopyMissing = first.isSummed && !copy.record && !copy.problem;
  if (isCopyMissing) problems.push({ path: copyPath, reason: `${copyPath} is missing` });
  if (copy.record && !first.record && !first.problem) {
    problems.push({ path, reason: `${path} is missing` });
  }
  return { record: first.record ?? copy.record, problems };
}

/** Decides which of two different copies counts. */
function newerOf({
  first,
  copy,
  path,
  copyPath,
}: {
  readonly first: Copy;
  readonly copy: Copy;
  readonly path: string;
  readonly copyPath: string;
}): { readonly record: SetRecord | undefined; readonly problem: RecordProblem } {
  const [a, b] = [first.record!, copy.record!];
  const isOneSet =
    Buffer.compare(a.domain, b.domain) === 0 && a.slots.length > 0 === b.slots.length > 0;
  if (a.seal && b.seal && isOneSet && counterOf(a) !== counterOf(b)) {
    const isFirstNewer = counterOf(a) > counterOf(b);
    const older = isFirstNewer ? copyPath : path;
    const reason = `${older} is older than the other copy, which counts; the next backup writes it again`;
    return { record: isFirstNewer ? a : b, problem: { path: older, reason } };
  }
  const reason = `${path} and ${copyPath} differ: one was altered; remove the wrong one`;
  const isDamage = first.isSummed !== copy.isSummed;
  const whole = first.isSummed ? a : b;
  return { record: isDamage ? whole : undefined, problem: { path, reason } };
}

const isSame = (a: SetRecord, b: SetRecord): boolean =>
  Buffer.compare(encodeSet(a), encodeSet(b)) === 0;

interface Copy {
  readonly record: SetRecord | undefined;
  readonly problem: RecordProblem | undefined;
  readonly isSummed: boolean;
}

/** Neither a record nor a problem: the copy is missing. */
async function readCopy(store: Store, path: string, name: string): Promise<Copy> {
  const { files } = store;
  const none = { record: undefined, problem: undefined, isSummed: false };
  if (!(await files.stat(path))) return none;
  try {
    return await readRecord({ files, store }, path, RECORD_LENGTH_MAX, (bytes) => {
      const record = decodeSet(bytes);
      // A record under another set's name would bring in that set's keys.
      if (record.name !== name) {
        throw new CatalogError('CORRUPT', `${path} is the record of set "${record.name}"`);
      }
      if (store.has('checked-records') && !record.seal) {
        throw new CatalogError('CORRUPT', `${path} has no counter: it is from before the upgrade`);
      }
      return { record, problem: undefined, isSummed: isSummed(bytes) };
    });
  } catch (cause) {
    if (cause instanceof SystemError && cause.code === 'NOT_FOUND') return none;
    if (!(cause instanceof CatalogError)) throw cause;
    return { ...none, problem: { path, reason: cause.message } };
  }
}
