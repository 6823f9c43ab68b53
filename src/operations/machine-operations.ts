import {
  flag,
  integer,
  list,
  nullable,
  object,
  oneOf,
  optional,
  text,
  withDefault,
} from '../lib/schema.ts';
import { changes, looks, withKey } from './operation.ts';
import { nothing } from './requests.ts';

/* Name, time, accounts, disks and power of the machine that Holdfast runs on. */

const MANY = 10_000;
const DAY = 86_400;
const word = text({ max: 256 });
const long = text({ max: 64 * 1024, min: 0 });
const count = integer(0, Number.MAX_SAFE_INTEGER);

const settings = {
  hostname: word,
  timezone: word,
  ntp: list(word, 16),
  /** As XKB calls it. */
  keyboard: word,
};

const hostView = object({
  ...settings,
  ...{ hostname: long, keyboard: nullable(word), system: long, kernel: long },
  isSynchronized: flag(),
  /** Of the administrator; null: there is no such account. */
  hasPassword: nullable(flag()),
  /** Whether whoever stands before its screen sets it up, without a login. */
  isFirstBoot: flag(),
});

/** Goes to the audit log. */
const reason = object({
  reason: text({ min: 3, max: 500, pattern: /^\P{Cc}*$/u, words: 'one line' }),
});
const asked = object({ reason: long });

const user = withDefault(oneOf('admin', 'restore'), 'admin');
const fingerprint = text({ max: 256, pattern: /^\S+$/, words: 'a fingerprint' });
const key = object({ user: oneOf('admin', 'restore'), fingerprint, type: word, comment: long });
const sshView = object({
  running: flag(),
  ...{ until: nullable(word), shellUntil: nullable(word) },
  keys: list(key, MANY),
});

const disk = object({
  ...{ name: word, model: nullable(long), serial: nullable(long), size: count },
  ...{ bus: nullable(word), spins: flag(), holds: list(long, MANY), inUse: flag() },
  health: object({ state: oneOf('good', 'failing', 'unknown'), detail: long }),
});

export const MACHINE_OPERATIONS = {
  'host/show': looks('show name, time, keyboard and accounts of this machine', nothing, hostView),
  'host/set': changes(
    'set name, time zone, time servers and keyboard; what is not named stays',
    object({
      hostname: optional(settings.hostname),
      timezone: optional(settings.timezone),
      ntp: optional(settings.ntp),
      keyboard: optional(settings.keyboard),
    }),
    hostView,
  ),
  'host/finish-set-up': changes(
    'end the set-up: the screen of this machine asks for a login',
    nothing,
    hostView,
  ),
  'host/password': withKey(
    changes(
      "set the administrator's password, which is the `secret`",
      nothing,
      object({ isSet: flag() }),
    ),
  ),
  'host/reboot': changes('reboot the machine', reason, asked),
  'host/poweroff': changes('switch the machine off', reason, asked),
  'host/factory-reset': changes(
    'reset network, name, time, accounts and keys to how they were delivered; never the store',
    object({ confirm: word }),
    object({ reset: list(long, MANY), failed: list(long, MANY) }),
  ),
  'ssh/show': looks('show who may log in over SSH, and until when', nothing, sshView),
  'ssh/on': changes(
    'allow logins over SSH',
    object({ seconds: optional(integer(60, 30 * DAY)) }),
    sshView,
  ),
  'ssh/off': changes('stop allowing logins over SSH; open connections stay', nothing, sshView),
  'ssh/shell': changes(
    'allow a shell over SSH for some time; 0: not any longer',
    object({ seconds: integer(0, DAY) }),
    sshView,
  ),
  'ssh-key/add': changes(
    'allow a public key to log in',
    object({ user, key: text({ max: 16 * 1024 }) }),
    key,
  ),
  'ssh-key/remove': changes('remove a key that may log in', object({ user, fingerprint }), key),
  'disk/list': looks(
    'list disks, their contents and their health',
    nothing,
    object({ disks: list(disk, MANY) }),
  ),
  'pool/create': changes(
    'format a disk to keep backups on',
    object({
      disk: word,
      fileSystem: withDefault(oneOf('xfs', 'ext4'), 'xfs'),
      erase: optional(long),
    }),
    object({ disk: word, fileSystem: word, mountedAt: long }),
  ),
} as const;
