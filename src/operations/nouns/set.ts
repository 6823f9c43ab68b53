import {
  field,
  flag,
  integer,
  list,
  nullable,
  type Of,
  object,
  optional,
  text,
  withDefault,
} from '../../lib/schema.ts';
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

const setSummary = object({
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
});
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
  result: object({ set, recoveryKey: field(word, 'its new recovery key, shown only this once') }),
});

const theSet = field(name, 'name of the set', { placeholder: 'SET', names: 'sets' });

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
  result: setSummary,
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
  passkey,
  removePasskey,
  lock,
] as const;
