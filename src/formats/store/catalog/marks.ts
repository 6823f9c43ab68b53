import { FormatError } from '../../format-error.ts';
import { decodeJsonRecord, encodeJsonRecord, type Fields, timeIn } from '../base/json-record.ts';
import { idIn, nameIn, requireDistinct } from '../base/names.ts';

// What people say of a recovery point after it was published: notes, and what keeps it. Grammar: marks.md.

export interface MarksRecord {
  readonly set: string;
  readonly point: string;
  /** Higher in each record of the point than in those before it. */
  readonly counter: number;
  /** Undefined: there is none. */
  readonly note: string | undefined;
  readonly tags: readonly string[];
  readonly protected: boolean;
  readonly holds: readonly Hold[];
  /** Later than what the point's own record says, or as long as it says nothing; undefined: no lock was added. */
  readonly lockedUntil: string | undefined;
}

/** Keeps a point until it is released by its name. */
export interface Hold {
  readonly name: string;
  /** When it was placed: ISO 8601, UTC. */
  readonly since: string;
}

/** For how long each new point of a set is locked. */
export interface SetLockRecord {
  readonly set: string;
  /** Higher in each record of the set than in those before it. */
  readonly counter: number;
  readonly days: number;
}

export const NOTE_LENGTH_MAX = 500;
export const TAGS_MAX = 16;
export const HOLDS_MAX = 16;
/** A lock is never shortened: a typing error must not keep a point for a century. */
export const LOCK_DAYS_MAX = 3660;

/** One line without control characters, nor signs that change the direction of a text or are not seen. */
const NOTE = /^[^\p{C}\p{Zl}\p{Zp}]+$/u;
const MARKS = 'holdfast-marks';
const SET_LOCK = 'holdfast-set-lock';
const VERSION = 1;

export function isNote(text: string): boolean {
  return text.length <= NOTE_LENGTH_MAX && NOTE.test(text);
}

export function encodeMarks(record: MarksRecord, key: Uint8Array): Uint8Array {
  const tags = record.tags.map((name) => ({ name }));
  return encodeJsonRecord({ format: MARKS, version: VERSION, ...record, tags }, key);
}

/** Throws FormatError. Without a key it is not authenticated. */
export function decodeMarks(bytes: Uint8Array, key: Uint8Array | undefined): MarksRecord {
  return decodeJsonRecord(bytes, key, marksOf);
}

export function encodeSetLock(record: SetLockRecord, key: Uint8Array): Uint8Array {
  return encodeJsonRecord({ format: SET_LOCK, version: VERSION, ...record }, key);
}

/** Throws FormatError. Without a key it is not authenticated. */
export function decodeSetLock(bytes: Uint8Array, key: Uint8Array | undefined): SetLockRecord {
  return decodeJsonRecord(bytes, key, (fields) => {
    fields.expect(SET_LOCK, VERSION);
    return {
      set: nameIn(fields, 'set'),
      counter: fields.integer('counter', 1, Number.MAX_SAFE_INTEGER),
      days: fields.integer('days', 0, LOCK_DAYS_MAX),
    };
  });
}

function marksOf(fields: Fields): MarksRecord {
  fields.expect(MARKS, VERSION);
  return {
    set: nameIn(fields, 'set'),
    point: idIn(fields, 'point'),
    counter: fields.integer('counter', 1, Number.MAX_SAFE_INTEGER),
    note: fields.has('note') ? noteIn(fields) : undefined,
    tags: tagsIn(fields),
    protected: fields.flag('protected'),
    holds: requireDistinct(
      fields.list('holds', HOLDS_MAX, (hold) => ({
        name: nameIn(hold, 'name'),
        since: timeIn(hold, 'since'),
      })),
      'holds',
    ),
    lockedUntil: fields.has('lockedUntil') ? timeIn(fields, 'lockedUntil') : undefined,
  };
}

function noteIn(fields: Fields): string {
  const found = fields.text('note');
  if (isNote(found)) return found;
  throw new FormatError(
    'CORRUPT',
    `${MARKS}: its note is too long, or has signs that are not seen`,
  );
}

function tagsIn(fields: Fields): string[] {
  const tags = fields.list('tags', TAGS_MAX, (tag) => ({ name: nameIn(tag, 'name') }));
  return requireDistinct(tags, 'tags').map(({ name }) => name);
}
