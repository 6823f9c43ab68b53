import {
  field,
  flag,
  integer,
  list,
  nullable,
  type Of,
  object,
  oneOf,
  optional,
  text,
  withDefault,
} from '../../lib/schema.ts';
import { base64Secret } from '../base/secret.ts';
import { count, damaged, MANY, name, nothing, prose, time, word } from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';
import { retention, setRules } from '../base/retention.ts';

const LOCK_DAYS_MAX = 3660;

const set = field(word, 'name of the backup set');
const encrypted = field(flag(), 'whether it is encrypted');

const lockDays = field(
  nullable(count),
  'for how many days each new recovery point is locked; 0: not; null: that cannot be read',
);

const SECRETS_MAX = 16;

const secretName = object({
  kind: field(oneOf('passphrase', 'recovery-key'), 'which of both it is'),
  id: field(word, 'its ID, for "set change-passphrase" and "set remove-passphrase"'),
});

const summaryFields = {
  set,
  created: time('when it was created'),
  encrypted,
  passkey: field(flag(), 'whether people who recover from it have to give its passkey'),
  lockDays,
  problem: field(
    nullable(prose),
    'why nothing is read from it or written to it; null: nothing is wrong with it',
  ),
  ...setRules,
};
const setSummary = object(summaryFields);
export type SetSummary = Of<typeof setSummary>;

const list_ = query('set/list', {
  summary: 'List backup sets',
  runs: 'store',
  request: nothing,
  result: object({ sets: field(list(setSummary, MANY), 'backup sets'), damaged }),
  cli: { examples: ['set list'] },
});

const create = mutation('set/create', {
  summary: 'Create a backup set',
  description: '`secret` is the passphrase of an encrypted one.',
  runs: 'store',
  changes: ['set'],
  key: 'new',
  request: object({
    set: field(name, 'name of the set', { placeholder: 'NAME', label: 'Name' }),
    encrypted: field(
      withDefault(flag(), false),
      'the set can be read only with its passphrase or its recovery key',
    ),
  }),
  result: object({
    set,
    created: time('when it was created'),
    encrypted,
    recoveryKey: field(
      nullable(word),
      'also opens the set, and is shown only this once; null: not encrypted',
    ),
  }),
});

const importKey = mutation('set/import-key', {
  summary: 'Recreate a lost record of a set from its key',
  description: '`secret` is its new passphrase.',
  runs: 'store',
  changes: ['set', 'backup'],
  key: 'new',
  hidden: ['key'],
  request: object({
    set: field(name, 'name of the set', { placeholder: 'SET' }),
    key: field(text({ max: 1024 }), 'the key, as "set export-key" printed it, or as it was typed'),
  }),
  result: object({
    set,
    recoveryKey: field(word, 'its new recovery key, shown only this once'),
    kept: field(
      flag(),
      'whether the former passphrases and recovery keys still open it, because a recovery point is locked',
    ),
  }),
});

const theSet = field(name, 'name of the set', { placeholder: 'SET', names: 'sets' });

const changed = {
  set,
  added: field(nullable(word), 'ID of what opens it from now on; null: nothing new'),
  removed: field(list(word, SECRETS_MAX), 'IDs of what no longer opens it'),
  notes: field(list(prose, 3), 'what has to be done next, by a person'),
};
const newPassphrase = field(base64Secret, 'the new passphrase, in base64');
/** For all that says what opens a set. */
const BY_PERSON = {
  runs: 'store',
  changes: ['set'],
  key: 'opens',
  keyOf: 'a person',
  passkey: 'not asked',
  remote: { denied: 'a changed passphrase would keep people from recovering' },
} as const;
const OLD_KEY =
  'The key of the set itself does not change: a person who had what was removed, and a copy of the record of the ' +
  'set from before, can still open the recovery points.';

const addPassphrase = mutation('set/add-passphrase', {
  summary: 'Add a passphrase to a set',
  description: '`secret` is its present passphrase or its recovery key.',
  ...BY_PERSON,
  hidden: ['newPassphrase'],
  request: object({ set: theSet, newPassphrase }),
  result: object(changed),
});

const changePassphrase = mutation('set/change-passphrase', {
  summary: 'Change a passphrase of a set',
  description:
    '`secret` is the present passphrase, which is replaced, or the recovery key. The new passphrase is on the disk, ' +
    `and has opened the set, before the former one is removed. ${OLD_KEY}`,
  ...BY_PERSON,
  hidden: ['newPassphrase'],
  request: object({
    set: theSet,
    newPassphrase,
    replaces: field(
      optional(word),
      'ID of the passphrase that is replaced; default: the one that was given, or the only one',
      { placeholder: 'ID' },
    ),
  }),
  result: object(changed),
});

const removePassphrase = mutation('set/remove-passphrase', {
  summary: 'Remove a passphrase of a set',
  description:
    '`secret` is another passphrase of it, or its recovery key. The last passphrase stays, and so does the ' +
    `one that is given. ${OLD_KEY}`,
  ...BY_PERSON,
  request: object({
    set: theSet,
    id: field(word, 'ID of the passphrase, as "set show" lists it', { placeholder: 'ID' }),
  }),
  result: object(changed),
  cli: {
    args: ['set', 'id'],
    examples: ['set remove-passphrase nightly 3f9a12bc'],
  },
});

const changeRecoveryKey = mutation('set/change-recovery-key', {
  summary: 'Replace the recovery key of a set',
  description:
    '`secret` is its passphrase or its recovery key. The new recovery key is shown only this once. ' +
    OLD_KEY,
  ...BY_PERSON,
  request: object({ set: theSet }),
  result: object({
    ...changed,
    recoveryKey: field(word, 'the new recovery key, shown only this once'),
  }),
  cli: { args: ['set'], examples: ['set change-recovery-key nightly'] },
});

const passkey = mutation('set/passkey', {
  summary: 'Set or change the passkey of a set',
  description:
    '`secret` is the new passkey, at least 8 characters; `passkey` is the present one, if there is one. From then on ' +
    'people who run, restore or open recovery points of the set have to give the passkey, also if the service has ' +
    'the key of the set. Backups, jobs and sessions that the service resumes by itself need none.',
  runs: 'service',
  changes: ['set'],
  key: 'new',
  passkey: 'asked',
  remote: { denied: 'a changed passkey would keep people from recovering' },
  request: object({ set: theSet }),
  result: object({ set, passkey: field(flag(), 'true') }),
});

const removePasskey = mutation('set/remove-passkey', {
  summary: 'Remove the passkey of a set',
  description:
    'Needs the passkey or, if it is lost, the passphrase or the recovery key of the set as `secret`.',
  runs: 'service',
  changes: ['set'],
  key: 'given',
  passkey: 'asked',
  remote: { denied: 'a passkey protects against people who have only a token' },
  request: object({ set: theSet }),
  result: object({ set, removed: field(flag(), 'whether there was one') }),
  cli: {
    args: ['set'],
    notes:
      'If the passkey is lost, give --passphrase-file or --recovery-key-file instead. A set that is not encrypted ' +
      'has no such key: see "A passkey beside the key" in the chapter on trust.',
    says: 'Recoveries from set "{set}" need no passkey.',
    examples: ['set remove-passkey nightly', 'set remove-passkey nightly --recovery-key-file key'],
  },
});

const show = query('set/show', {
  summary: 'Show a backup set',
  runs: 'store',
  request: object({ set: theSet }),
  result: object({
    ...summaryFields,
    secrets: field(list(secretName, SECRETS_MAX), 'what opens it; empty: it is not encrypted'),
  }),
  cli: { args: ['set'], examples: ['set show nightly'] },
});

const change = mutation('set/change', {
  summary: 'Change the retention rules of a set',
  description:
    'The rules are carried out for each machine after its backup, unless its schedule or job has rules of its own. ' +
    'They replace all earlier rules of the set.',
  runs: 'store',
  changes: ['set'],
  request: object({
    set: theSet,
    retention: field(optional(retention), 'which backups stay: see backup/retain'),
    keepAll: field(withDefault(flag(), false), 'remove all rules: every backup stays'),
  }),
  result: object({ set, ...setRules }),
  cli: {
    args: ['set'],
    options: { retention: { spread: 'keep-' } },
    notes: '"backup retain SET --dry-run" shows what the rules would forget now.',
    examples: [
      'set change nightly --keep-daily 7 --keep-weekly 4 --keep-time-zone Europe/Berlin',
      'set change nightly --keep-all',
    ],
  },
});

const remove = mutation('set/remove', {
  summary: 'Remove a set with all its recovery points',
  description:
    'It is refused while a recovery point of it is locked, protected, held, or in use by a session or a reader, and ' +
    'while a schedule or a job uses the set. No key is needed. The space comes back with "store sweep".',
  runs: 'store',
  changes: ['set', 'backup'],
  remote: { denied: 'it removes recovery points for good' },
  request: object({
    set: theSet,
    confirm: field(word, 'name of the set, typed out', { placeholder: 'SET' }),
  }),
  result: object({ set, points: field(count, 'how many recovery points it had') }),
  cli: {
    args: ['set'],
    says: 'Set "{set}" is removed, with {points} recovery points. "holdfast store sweep" gives back their space.',
    examples: ['set remove nightly --confirm nightly'],
  },
});

const lock = mutation('set/lock', {
  summary: 'Lock each new recovery point of a set for some days',
  description:
    'For that long Holdfast does not remove it, whatever the clock of the host says: locks end by trusted time ' +
    '("clock show"). Existing recovery points do not change.',
  runs: 'store',
  changes: ['set'],
  key: 'opens',
  passkey: 'not asked',
  request: object({
    set: theSet,
    days: field(integer(0, LOCK_DAYS_MAX), 'how many days; 0: new ones are not locked', {
      placeholder: 'N',
    }),
  }),
  result: object({ set, lockDays: field(count, 'for how many days') }),
  cli: {
    args: ['set'],
    examples: ['set lock nightly --days 30', 'set lock nightly --days 0'],
  },
});

export const operations = [
  list_,
  show,
  create,
  change,
  importKey,
  addPassphrase,
  changePassphrase,
  removePassphrase,
  changeRecoveryKey,
  passkey,
  removePasskey,
  lock,
  remove,
] as const;
