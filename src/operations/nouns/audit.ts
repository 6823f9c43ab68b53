import {
  anyObject,
  field,
  integer,
  list,
  nullable,
  object,
  oneOf,
  withDefault,
} from '../../lib/schema.ts';
import { count, MANY, nothing, prose, time, word } from '../base/fields.ts';
import { query } from '../base/operation.ts';

const auditEntry = object({
  number: field(count, 'number of the entry'),
  time: time('when'),
  what: field(word, 'name of the operation'),
  uid: field(nullable(count), 'user ID of the requesting process'),
  gid: field(nullable(count), 'its group ID'),
  pid: field(nullable(count), 'its process ID'),
  token: field(nullable(word), 'the token of a request from another host'),
  address: field(nullable(word), 'the address of that host'),
  outcome: field(oneOf('begun', 'done', 'failed', 'torn'), 'how it ended, or that it began'),
  of: field(nullable(count), 'number of the entry that says that it began'),
  request: field(nullable(anyObject(MANY)), 'the request, without secrets'),
  reason: field(nullable(prose), 'why it failed'),
});

const show = query('audit/show', {
  summary: 'Show who changed what',
  description: 'Lists changes made through the service, the newest last.',
  runs: 'service',
  request: object({
    last: field(withDefault(integer(1, 10_000), 100), 'how many of the newest entries', {
      placeholder: 'N',
    }),
  }),
  result: object({ entries: field(list(auditEntry, MANY), 'entries, the newest last') }),
  cli: { examples: ['audit show --last 20'] },
});

const check = query('audit/check', {
  summary: 'Check whether the audit log was altered',
  description:
    'Each entry holds the hash of all entries before it. If you keep the last hash elsewhere, you also ' +
    'notice if the end was cut off.',
  runs: 'service',
  shows: [],
  request: nothing,
  result: object({
    entries: field(count, 'how many entries there are'),
    first: field(count, 'number of the first'),
    hash: field(word, 'hash of the last'),
    problem: field(nullable(prose), 'what is wrong; null: nothing'),
  }),
  cli: { notes: 'Exit code 6 if it was altered.', examples: ['audit check'] },
});

export const operations = [show, check] as const;
