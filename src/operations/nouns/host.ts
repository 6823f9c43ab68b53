import { field, flag, list, nullable, object, optional, text } from '../../lib/schema.ts';
import { nothing, prose, word } from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';

/* Name, time, accounts and power of the machine that Holdfast runs on. */

const MANY = 10_000;
const ntp = list(word, 16);

const hostView = object({
  hostname: field(prose, 'name of the host'),
  timezone: field(word, 'time zone'),
  ntp: field(ntp, 'time servers'),
  keyboard: field(nullable(word), 'layout of the keyboard, as XKB calls it'),
  system: field(prose, 'the operating system'),
  kernel: field(prose, 'its kernel'),
  isSynchronized: field(flag(), 'whether the clock is synchronized'),
  hasPassword: field(
    nullable(flag()),
    'whether the administrator has a password; null: there is no such account',
  ),
  isFirstBoot: field(flag(), 'whether anyone at the screen can set the host up, without a login'),
});

const show = query('host/show', {
  summary: 'Show name, time, keyboard and accounts of this host',
  runs: 'hostd',
  request: nothing,
  result: hostView,
  cli: { examples: ['host show'] },
});

const set = mutation('host/set', {
  summary: 'Set name, time zone, time servers and keyboard',
  description: 'Other settings do not change.',
  runs: 'hostd',
  changes: ['host', 'network', 'ssh'],
  request: object({
    hostname: field(optional(word), 'name of the host: letters, digits and hyphens', {
      placeholder: 'NAME',
      label: 'Name',
    }),
    timezone: field(optional(word), 'such as Europe/Berlin: see "timedatectl list-timezones"', {
      placeholder: 'ZONE',
      label: 'Time zone',
    }),
    ntp: field(optional(ntp), 'time servers; none: those that Debian comes with', {
      placeholder: 'SERVER',
      label: 'Time servers',
    }),
    keyboard: field(optional(word), 'layout of the keyboard: us, gb, de, ch, fr ...', {
      placeholder: 'LAYOUT',
    }),
  }),
  result: hostView,
});

const finishSetUp = mutation('host/finish-set-up', {
  summary: 'End the set-up: the screen of this host asks for a login',
  description:
    'Until then, anyone at the screen of a new host can set it up without a login. Refused while the ' +
    'administrator has no password.',
  runs: 'hostd',
  changes: ['host'],
  request: nothing,
  result: hostView,
  cli: { examples: ['host finish-set-up'] },
});

const password = mutation('host/password', {
  summary: "Set the administrator's password",
  description:
    'The password of the user admin at the screen of this host, with at least 10 characters. Until it is ' +
    'set, no login by password is possible.',
  runs: 'hostd',
  changes: ['host'],
  key: 'new',
  remote: { denied: 'a user who can log in is at the host' },
  request: nothing,
  result: object({ isSet: field(flag(), 'true') }),
  cli: {
    notes:
      'The command asks for the password twice, or takes the first line of --passphrase-file or ' +
      '--passphrase-fd (0: standard input).',
    says: "The administrator's password is set.",
    examples: ['host password', 'host password --passphrase-file admin.password'],
  },
});

const reason = object({
  reason: field(
    text({ min: 3, max: 500, pattern: /^\P{Cc}*$/u, words: 'one line' }),
    'why; noted in the audit log',
    { placeholder: 'TEXT' },
  ),
});
const asked = object({ reason: field(prose, 'why') });
const description = 'Sessions are flushed and continue at the next start.';

const reboot = mutation('host/reboot', {
  summary: 'Reboot the host',
  description,
  runs: 'hostd',
  changes: [],
  request: reason,
  result: asked,
  cli: {
    says: 'The host reboots: {reason}',
    examples: ["host reboot --reason 'a new kernel'"],
  },
});

const poweroff = mutation('host/poweroff', {
  summary: 'Power the host off',
  description,
  runs: 'hostd',
  changes: [],
  request: reason,
  result: asked,
  cli: {
    says: 'The host powers off: {reason}',
    examples: ["host poweroff --reason 'a new disk'"],
  },
});

const factoryReset = mutation('host/factory-reset', {
  summary: 'Reset the host to its state at delivery; never the store',
  description:
    "Resets network (to DHCP), name, time, SSH with its keys, and the administrator's password. If the " +
    'service listens for other hosts, all tokens are revoked. If one part cannot be reset, the others ' +
    'are. The store, its disk, and the settings and passphrases of the service do not change.',
  runs: 'hostd',
  changes: ['host', 'network', 'ssh', 'token'],
  remote: { denied: 'it ends what the request came through' },
  request: object({
    confirm: field(word, 'name of this host, typed out', { placeholder: 'HOSTNAME' }),
  }),
  result: object({
    reset: field(list(prose, MANY), 'what was reset'),
    failed: field(list(prose, MANY), 'what could not be reset, and why'),
  }),
  cli: { examples: ['host factory-reset --confirm box7'] },
});

export const operations = [
  show,
  set,
  finishSetUp,
  password,
  reboot,
  poweroff,
  factoryReset,
] as const;
