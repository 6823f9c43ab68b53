import {
  field,
  flag,
  list,
  nullable,
  type Of,
  object,
  text,
  withDefault,
} from '../../lib/schema.ts';
import { damaged, MANY, name, nothing, prose, time, word } from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';

const set = field(word, 'name of the backup set');
const encrypted = field(flag(), 'whether it is encrypted');

const setSummary = object({
  set,
  created: time('when it was created'),
  encrypted,
  problem: field(
    nullable(prose),
    'why nothing is read from it or written to it; null: nothing is wrong with it',
  ),
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

export const operations = [list_, create, importKey] as const;
