import { field, object, text } from '../../lib/schema.ts';
import { line, name, point, word } from '../base/fields.ts';
import { marksFields } from '../base/marks.ts';
import { mutation } from '../base/operation.ts';

/* Notes, tags, protection, holds and locks of recovery points. */

const NOTE_MAX = 500;
/** Also no signs that are not seen, or that change the direction of a text: a terminal shows notes. */
const NOTE = /^[^\p{C}\p{Zl}\p{Zp}]*$/u;

const marked = object({ point: field(word, 'ID of the recovery point'), ...marksFields });
const common = {
  runs: 'store',
  changes: ['backup'],
  key: 'opens',
  passkey: 'not asked',
  result: marked,
} as const;
const tagName = field(name, 'up to 64 letters, digits, ".", "_", "-"', { placeholder: 'TAG' });
const holdName = field(name, 'name of the hold: up to 64 letters, digits, ".", "_", "-"', {
  ...{ placeholder: 'NAME', label: 'Name of the hold' },
});

const note = mutation('backup/note', {
  ...common,
  summary: 'Write a note to a recovery point',
  description: 'Replaces the note that it has. An empty text removes it.',
  request: object({
    point,
    text: field(
      text({ max: NOTE_MAX, min: 0, pattern: NOTE, words: 'one line of printable characters' }),
      `one line, at most ${NOTE_MAX} characters`,
      { placeholder: 'TEXT', label: 'Note' },
    ),
  }),
  cli: {
    args: ['point', 'text'],
    says: 'The note of {point} was changed.',
    examples: ["backup note web1@latest 'before the migration'"],
  },
});

const tag = mutation('backup/tag', {
  ...common,
  summary: 'Add a tag to a recovery point',
  request: object({ point, tag: tagName }),
  cli: {
    args: ['point', 'tag'],
    says: '{point} has the tag.',
    examples: ['backup tag web1@latest gold'],
  },
});

const untag = mutation('backup/untag', {
  ...common,
  summary: 'Remove a tag of a recovery point',
  request: object({ point, tag: tagName }),
  cli: {
    args: ['point', 'tag'],
    says: '{point} no longer has the tag.',
    examples: ['backup untag web1@latest gold'],
  },
});

const protect = mutation('backup/protect', {
  ...common,
  summary: 'Keep a recovery point until it is unprotected',
  description: 'Neither "backup forget" nor retention removes it until then.',
  request: object({ point }),
  cli: {
    args: ['point'],
    says: '{point} is protected.',
    examples: ['backup protect web1@latest'],
  },
});

const unprotect = mutation('backup/unprotect', {
  ...common,
  summary: 'End the protection of a recovery point',
  description: 'Holds and locks of it stay.',
  request: object({ point }),
  cli: {
    args: ['point'],
    says: '{point} is no longer protected.',
    examples: ['backup unprotect web1@latest'],
  },
});

const hold = mutation('backup/hold', {
  ...common,
  summary: 'Keep a recovery point until the hold is released',
  description:
    'A recovery point may have several holds, such as one for each legal case: it stays until all are released, each ' +
    'by its name.',
  request: object({ point, name: holdName }),
  cli: {
    args: ['point'],
    says: '{point} is held.',
    examples: ['backup hold web1@latest --name legal-2026'],
  },
});

const release = mutation('backup/release', {
  ...common,
  summary: 'Release a hold of a recovery point',
  request: object({ point, name: holdName }),
  cli: {
    args: ['point'],
    says: 'The hold of {point} is released.',
    examples: ['backup release web1@latest --name legal-2026'],
  },
});

const lock = mutation('backup/lock', {
  ...common,
  summary: 'Lock a recovery point until a date',
  description:
    'Until then Holdfast does not remove it, whatever the clock of the host says: the lock ends by trusted ' +
    'time ("clock show"). A lock can be extended, never shortened.',
  request: object({
    point,
    until: field(
      line(64),
      'a date (2027-01-31: until 00:00 UTC on that day) or a time (2027-01-31T18:00:00Z), at most 10 years ahead',
      { placeholder: 'DATE', label: 'Locked until' },
    ),
  }),
  cli: {
    args: ['point'],
    says: '{point} is locked until {lockedUntil}.',
    examples: ['backup lock web1@latest --until 2027-01-31'],
  },
});

export const operations = [note, tag, untag, protect, unprotect, hold, release, lock] as const;
