import {
  flag,
  integer,
  list,
  type Of,
  object,
  oneOf,
  optional,
  text,
  variants,
  withDefault,
} from '../lib/schema.ts';

import { namesHostFile } from './host-files.ts';

/* What is asked of Holdfast. Paths are those of the machine that the service runs on. */

const PATH_MAX = 4096;
const QUERY_MAX = 512;
const NETWORKS_MAX = 256;
const DISKS_MAX = 256;

/** No name, path or address has a control character in it; system calls and logs are not asked about them. */
function line(max: number) {
  return text({ max, pattern: /^\P{Cc}*$/u, words: 'free of control characters' });
}

const name = line(128);
const path = namesHostFile(line(PATH_MAX));
/** A disk: a file, a device, or what an NBD server has. */
const disk = namesHostFile(line(PATH_MAX), /^nbds?:\/\//);
const address = namesHostFile(line(PATH_MAX), /^tcp:(?:\[[^\]]+\]|[^:]+):\d{1,5}$/);
/** An ID, the beginning of one, or MACHINE@latest; SET/ may stand before it. */
const point = line(QUERY_MAX);
const session = line(128);
const port = optional(integer(0, 65_535));

const tls = optional(
  variants('kind', {
    x509: { directory: path },
    psk: { path },
  }),
);

const nfs = optional(
  object({
    allow: optional(list(line(128), NETWORKS_MAX, 1)),
    host: optional(line(256)),
    ports: withDefault(object({ nfs: port, mount: port, portmap: port }), {
      ...{ nfs: undefined, mount: undefined, portmap: undefined },
    }),
    readOnly: withDefault(flag(), false),
    squash: withDefault(oneOf('none', 'root', 'all'), 'root'),
    privilegedPorts: withDefault(flag(), true),
    points: withDefault(flag(), false),
  }),
);

/** The digest of the plan that was shown; without it, to be shown. */
export const adoptRequest = object({ plan: optional(line(128)) });

/** Where a session is reached. */
const reached = { listen: optional(address), tls, nfs };

export const nothing = object({});
export const bySession = object({ session });
export const byPoint = object({ point });

export const setRequest = object({ set: name, encrypted: withDefault(flag(), false) });

/** `key`: as `set export-key` printed it, or a person typed it. */
export const importKeyRequest = object({ set: name, key: text({ max: 1024 }) });
/** Without `confirmed` the answer only says what would change. */
export const upgradeRequest = object({ confirmed: withDefault(flag(), false) });
export const checkRequest = object({ readData: withDefault(flag(), false) });

export const listRequest = object({ set: optional(name), machine: optional(name) });

const PAGE_MAX = 500;

/** Newest first: `first` is how many newer ones are left out. */
export const pageRequest = object({
  set: optional(name),
  machine: optional(name),
  /** Stands somewhere in the ID. */
  contains: optional(line(128)),
  first: withDefault(integer(0, Number.MAX_SAFE_INTEGER), 0),
  count: withDefault(integer(1, PAGE_MAX), 100),
});

const backup = {
  set: name,
  machine: name,
  disks: list(object({ name, where: disk }), DISKS_MAX, 1),
  format: optional(line(32)),
  /** File of a changed-block list. */
  changed: optional(path),
};
export const backupRequest = object(backup);

const count = withDefault(integer(0, 10_000), 0);
/** How many recovery points stay: the newest of so many days, weeks, months and years that have one. */
const retention = object({
  last: count,
  daily: count,
  weekly: count,
  monthly: count,
  yearly: count,
});

export const backupJob = object({ ...backup, retention: optional(retention) });

export const retainRequest = object({
  set: name,
  machine: optional(name),
  retention,
  /** Only tells what would be forgotten. */
  dryRun: withDefault(flag(), false),
});

export const restoreRequest = object({
  point,
  disk: name,
  to: disk,
  /** Default: the ending of the file's name, else raw. */
  format: optional(line(32)),
  overwrite: withDefault(flag(), false),
  /** Allows contents of a device to be overwritten: its serial number, or its name where it has none. */
  erase: optional(line(256)),
});

const jobs = {
  backup: { request: backupJob },
  check: { request: checkRequest },
  keep: { request: bySession },
  restore: { request: restoreRequest },
} as const;
export const jobRequest = variants('kind', jobs);
/** In how many parts the last hour is told of. */
export const throughputRequest = object({ points: withDefault(integer(1, 720), 60) });
const DAYS_MAX = 3650;
export const tokenRequest = object({
  token: text({ max: 64 }),
  may: oneOf('look', 'manage'),
  /** Whether its requests may name files of the service's machine. */
  files: withDefault(flag(), false),
  expiresDays: optional(integer(1, DAYS_MAX)),
});
export const byToken = object({ token: text({ max: 64 }) });
export const lastRequest = object({ last: withDefault(integer(1, 10_000), 100) });
export const byJob = object({ job: name });
export const byAlarm = object({ alarm: text({ max: 256 }) });
export const alarmsRequest = object({
  /** Those that are over as well. */
  all: withDefault(flag(), false),
});
/** Newest first: `first` is how many newer ones are left out; without `count`, all. */
export const jobsRequest = object({
  first: withDefault(integer(0, Number.MAX_SAFE_INTEGER), 0),
  count: optional(integer(1, PAGE_MAX)),
  /** Only those that wait or run. */
  active: withDefault(flag(), false),
});
/** `first` is how many older lines are left out. */
const lines = { first: withDefault(integer(0, Number.MAX_SAFE_INTEGER), 0) };
export const jobLogRequest = object({ job: name, ...lines });
export const sessionLogRequest = object({ session, ...lines });
export const bySchedule = object({ schedule: name });
export const scheduleRequest = object({
  schedule: name,
  /** A calendar expression as of systemd: `Mon..Fri 02:30`, `daily`. */
  at: line(256),
  job: jobRequest,
});

export const startRequest = object({
  point,
  whenFull: withDefault(oneOf('pause', 'refuse'), 'pause'),
  ...reached,
});

export const resumeRequest = object({ session, ...reached });

/** Goes in the body of whatever may need a key; never in an address, and into no log. */
export const givenSecret = variants('kind', {
  passphrase: { base64: text({ max: 128 * 1024, pattern: /^[\w+/]+={0,2}$/, words: 'base64' }) },
  'recovery-key': { text: text({ max: 1024 }) },
});
export type SentSecret = Of<typeof givenSecret>;
