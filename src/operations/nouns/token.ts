import {
  field,
  flag,
  integer,
  list,
  nullable,
  object,
  oneOf,
  optional,
  text,
  withDefault,
} from '../../lib/schema.ts';
import { count, MANY, nothing, time, timeOrNull, word } from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';

const LIFETIME_MAX_DAYS = 3650;
const remote = { denied: 'a client that can create tokens could give access to anyone' } as const;

const token = field(text({ max: 64 }), 'name of the token', {
  ...{ placeholder: 'TOKEN', names: 'tokens' },
});
const shown = {
  token: field(word, 'name of the token'),
  may: field(oneOf('look', 'manage'), 'what it allows'),
  files: field(flag(), 'whether its requests may name files of the host'),
  created: time('when it was created'),
  expires: timeOrNull('when it expires; null: never'),
  expired: field(flag(), 'whether it has expired'),
};

const create = mutation('token/create', {
  summary: 'Create a token for remote access',
  description:
    'The token allows requests from other hosts, if the settings have "listen". It is shown only this ' +
    'once: save it in a file that only its user can read, for holdfast --server URL --token-file FILE.',
  runs: 'service',
  changes: ['token'],
  remote,
  request: object({
    token: field(text({ max: 64 }), 'name of the token', { placeholder: 'NAME' }),
    may: field(
      oneOf('look', 'manage'),
      'look: rights of the group holdfast-view; manage: rights of the group holdfast, except tokens and ' +
        'files of the host',
    ),
    files: field(
      withDefault(flag(), false),
      "its requests may name files of the host: this gives the rights of the service's user",
    ),
    expiresDays: field(optional(integer(1, LIFETIME_MAX_DAYS)), 'lifetime in days', {
      placeholder: 'DAYS',
    }),
  }),
  result: object({ ...shown, secret: field(word, 'the token itself, shown this once') }),
  cli: {
    args: ['token'],
    options: { expiresDays: { name: 'expires' } },
    examples: ['token create ann --may manage --expires 90 >ann.token'],
  },
});

const list_ = query('token/list', {
  summary: 'List tokens',
  runs: 'service',
  remote,
  request: nothing,
  result: object({ tokens: field(list(object(shown), MANY), 'tokens') }),
  cli: { examples: ['token list'] },
});

const revoke = mutation('token/revoke', {
  summary: 'Revoke a token',
  description: 'Takes effect at once: running requests that use the token are ended, too.',
  runs: 'service',
  changes: ['token'],
  // It may have been stolen.
  lockdown: 'allowed',
  remote,
  request: object({ token }),
  result: object({ token: field(word, 'name of the token'), revoked: field(flag(), 'true') }),
  cli: { args: ['token'], says: 'Token "{token}" is revoked.', examples: ['token revoke ann'] },
});

const lockdownState = object({
  on: field(flag(), 'whether the lockdown is on'),
  since: timeOrNull('since when; null: it is off'),
  uid: field(nullable(count), 'ID of the user who began it; null: it is off'),
  persons: field(count, 'how many users must approve its end'),
  approvals: field(
    list(object({ uid: field(count, 'user ID'), time: time('when') }), MANY),
    'users who approved its end',
  ),
});
const locks = { denied: 'a lockdown counts users, and a token is not a user' } as const;

const showLockdown = query('lockdown/show', {
  summary: 'Show whether the lockdown is on',
  runs: 'service',
  request: nothing,
  result: lockdownState,
  cli: { examples: ['lockdown show'] },
});

const lock = mutation('lockdown/on', {
  summary: 'Allow queries, recoveries and checks only',
  description:
    'Use it if a login may have been stolen. Until the lockdown ends, recovery points cannot be ' +
    'forgotten, settings cannot be changed, and no new shell can be opened. Sessions, restores and checks' +
    ' are allowed; schedules continue their backups. To end it: "lockdown off", by two different users if' +
    ' the settings say so.',
  runs: 'service',
  changes: ['lockdown'],
  remote: locks,
  request: nothing,
  result: lockdownState,
  cli: { examples: ['lockdown on'] },
});

const unlock = mutation('lockdown/off', {
  summary: 'End the lockdown, or approve its end',
  description:
    'If the settings require two users, another user must give this command, too, within an hour.',
  runs: 'service',
  changes: ['lockdown'],
  lockdown: 'allowed',
  remote: locks,
  request: nothing,
  result: lockdownState,
  cli: { examples: ['lockdown off'] },
});

export const operations = [create, list_, revoke, showLockdown, lock, unlock] as const;
