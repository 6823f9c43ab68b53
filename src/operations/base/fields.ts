import {
  field,
  integer,
  list,
  nullable,
  type Of,
  object,
  type Schema,
  text,
  withDefault,
} from '../../lib/schema.ts';

/* Fields that operations of several nouns share. */

/** The contents of a list that the service itself makes: no limit that a store reaches. */
export const MANY = 10_000_000;
export const PATH_MAX = 4096;

/** Names, IDs and times, as the service gives them. */
export const word = text({ max: 256 });
/** Sentences and paths, as the service gives them. */
export const prose = text({ max: 64 * 1024, min: 0 });
export const count = integer(0, Number.MAX_SAFE_INTEGER);

/** Names, paths and addresses contain no control characters, so that system calls and logs never see any. */
export function line(max: number) {
  return text({ max, pattern: /^\P{Cc}*$/u, words: 'free of control characters' });
}

export const name = line(128);
export const nothing = object({});

export const setName = field(name, 'name of the backup set', {
  placeholder: 'SET',
  names: 'sets',
  label: 'Backup set',
});
export const machineName = field(name, 'name of the machine', {
  ...{ placeholder: 'MACHINE', names: 'machines' },
});
export const point = field(
  line(512),
  'the recovery point: its ID, the beginning of one, or MACHINE@latest; SET/ may stand before it',
  { placeholder: 'POINT', names: 'points' },
);
export const session = field(line(128), 'ID of the session', {
  ...{ placeholder: 'SESSION', names: 'sessions' },
});

/** A time in a result. */
export function time(description: string): Schema<string> {
  return field(word, `${description}, ISO 8601 in UTC`);
}

export function timeOrNull(description: string): Schema<string | null> {
  return field(nullable(word), `${description}, ISO 8601 in UTC`);
}

export const store = field(prose, 'path of the store');
export const readBytes = field(count, 'bytes read');
export const writtenBytes = field(count, 'bytes written');

export const damage = field(
  list(
    object({
      where: field(prose, 'a file of the store, or a disk of a recovery point'),
      what: field(prose, 'what is wrong with it'),
    }),
    MANY,
  ),
  'what is missing or damaged',
);

const damagedPoint = object({
  path: field(prose, 'the record that cannot be read'),
  reason: field(prose, 'why it cannot be read'),
});
export type DamagedPoint = Of<typeof damagedPoint>;

export const damaged = field(list(damagedPoint, MANY), 'records that cannot be read');

/** How many newer or older ones are left out before the first. */
export function first(description: string): Schema<number> {
  return field(withDefault(count, 0), description, { placeholder: 'N' });
}

export const logLines = field(
  list(object({ time: time('when it was written'), message: field(prose, 'what happened') }), MANY),
  'lines of the log, oldest first',
);
