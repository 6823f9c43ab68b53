import {
  field,
  flag,
  integer,
  list,
  object,
  oneOf,
  optional,
  text,
  withDefault,
} from '../../lib/schema.ts';
import { nothing, prose, timeOrNull, word } from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';

/* Logins over SSH to the machine that Holdfast runs on. */

const MANY = 10_000;
const DAY = 86_400;
const remote = { denied: 'a user who can log in is at the host' } as const;

const users = oneOf('admin', 'restore');
const user = field(withDefault(users, 'admin'), 'admin: the console; restore: SFTP');
const fingerprint = field(
  text({ max: 256, pattern: /^\S+$/, words: 'a fingerprint' }),
  'fingerprint of the key, as "ssh key list" shows it',
  { placeholder: 'FINGERPRINT' },
);
const key = object({
  user: field(users, 'the user who logs in with it'),
  fingerprint,
  type: field(word, 'kind of the key'),
  comment: field(prose, 'its comment'),
});
const sshView = object({
  running: field(flag(), 'whether logins over SSH are allowed'),
  until: timeOrNull('until when; null: until "ssh off"'),
  shellUntil: timeOrNull('until when a shell is allowed; null: it is not'),
  keys: field(list(key, MANY), 'keys that may log in'),
});

const show = query('ssh/show', {
  summary: 'Show who may log in over SSH, and until when',
  runs: 'hostd',
  request: nothing,
  result: sshView,
  cli: { examples: ['ssh show'] },
});

const on = mutation('ssh/on', {
  summary: 'Allow logins over SSH',
  runs: 'hostd',
  changes: ['ssh'],
  remote,
  request: object({
    seconds: field(
      optional(integer(60, 30 * DAY)),
      'for this time, in seconds, even if the host was off in the meantime; default: until "ssh off"',
      { placeholder: 'TIME', label: 'For' },
    ),
  }),
  result: sshView,
  cli: {
    options: { seconds: { name: 'for', form: 'duration' } },
    examples: ['ssh on', 'ssh on --for 4h'],
  },
});

const off = mutation('ssh/off', {
  summary: 'Refuse new logins over SSH',
  description: 'Open connections stay open.',
  runs: 'hostd',
  changes: ['ssh'],
  lockdown: 'allowed',
  request: nothing,
  result: sshView,
  cli: { examples: ['ssh off'] },
});

const shell = mutation('ssh/shell', {
  summary: 'Allow a shell over SSH for some time',
  runs: 'hostd',
  changes: ['ssh'],
  remote,
  request: object({
    seconds: field(integer(0, DAY), 'for how many seconds; 0: end it now', { label: 'For' }),
  }),
  result: sshView,
});

const addKey = mutation('ssh-key/add', {
  summary: 'Allow a public key to log in',
  runs: 'hostd',
  changes: ['ssh'],
  remote,
  request: object({
    user,
    key: field(text({ max: 16 * 1024 }), "the public key: 'ssh-ed25519 AAAA... name'", {
      label: 'Public key',
    }),
  }),
  result: key,
});

const removeKey = mutation('ssh-key/remove', {
  summary: 'Remove a key that may log in',
  runs: 'hostd',
  changes: ['ssh'],
  request: object({ user, fingerprint }),
  result: key,
  cli: {
    args: ['fingerprint'],
    says: '{user} can no longer log in with {fingerprint}.',
    examples: ['ssh key remove SHA256:uNiVztksCsDhcc0u9e8BrvtSoXJqp0DxCLLPo3YMIPc'],
  },
});

export const operations = [show, on, off, shell, addKey, removeKey] as const;
