import { field, flag, list, nullable, type Of, object, optional } from '../../lib/schema.ts';
import { MANY, prose, time, timeOrNull, word } from './fields.ts';

/* What people say of a recovery point after it was created, and what keeps it. */

export const marksFields = {
  note: field(nullable(prose), 'a note; null: none'),
  tags: field(list(word, MANY), 'its tags'),
  protected: field(flag(), 'whether it stays until "backup unprotect"'),
  holds: field(
    list(
      object({ name: field(word, 'name of the hold'), since: time('when it was placed') }),
      MANY,
    ),
    'holds: it stays until each is released by "backup release"',
  ),
  lockedUntil: timeOrNull('it stays until then, by trusted time; null: it is not locked'),
  unreadable: field(
    optional(prose),
    'why it is not known what keeps it; then it stays; absent: it is known',
  ),
};
const marks = object(marksFields);
export type Marks = Of<typeof marks>;

/** Shown for a recovery point. */
export const pointMarks = field(optional(marks), 'notes of it, and what keeps it; absent: nothing');
