import { flag, integer, list, nullable, type Of, object, oneOf, text } from '../lib/schema.ts';
import { STORE_OPERATIONS } from './store-operations.ts';
import { FILES_OPERATIONS } from './files-operations.ts';
import { HOST_OPERATIONS } from './host-operations.ts';
import { changes, looks, type Operation, withKey } from './operation.ts';
import {
  alarmsRequest,
  backupRequest,
  byAlarm,
  byJob,
  byPoint,
  bySchedule,
  bySession,
  byToken,
  jobLogRequest,
  jobRequest,
  jobsRequest,
  listRequest,
  lastRequest,
  nothing,
  pageRequest,
  restoreRequest,
  resumeRequest,
  retainRequest,
  scheduleRequest,
  sessionLogRequest,
  startRequest,
  throughputRequest,
  tokenRequest,
} from './requests.ts';
import {
  alarmSummary,
  auditEntry,
  damagedPoint,
  hostFacts,
  jobSummary,
  keptSession,
  madePoint,
  pointSummary,
  readySession,
  scheduleSummary,
  sessionExport,
  sessionSummary,
  shownSession,
  storeSpace,
  throughput,
} from './result-schemas.ts';

/*
 * All that can be asked of Holdfast, by name: `session/list` is `POST /v1/session/list`. This table is the
 * protocol: the door validates by it, the command line is typed by it, and the OpenAPI description is made of it.
 */
const name = text({ max: 256 });
const long = text({ max: 64 * 1024 });
const count = integer(0, Number.MAX_SAFE_INTEGER);
const MANY = 10_000_000;
const ARCHIVE_MAX = 16 * 1024 * 1024;

const logLine = object({ time: name, message: long });
const token = {
  token: name,
  may: oneOf('look', 'manage'),
  files: flag(),
  ...{ created: name, expires: nullable(name), expired: flag() },
};
const damaged = list(damagedPoint, MANY);

const lockdownState = object({
  on: flag(),
  /** Since when, and by whom; null: it is off. */
  ...{ since: nullable(name), uid: nullable(count) },
  /** How many have to agree to its end, and who has. */
  persons: count,
  approvals: list(object({ uid: count, time: name }), MANY),
});

export const OPERATIONS = {
  'service/show': looks(
    'show what the service does',
    nothing,
    object({
      ...{ pid: count, started: name, store: long },
      /** Null: there is none yet. */
      storeId: nullable(name),
      /** Of the file system that the store is on; null: there is no store. */
      space: nullable(storeSpace),
      host: hostFacts,
      sessions: object({ running: count, waiting: count }),
      jobs: object({ running: count, waiting: count }),
      /** Those that stand and nobody has acknowledged; those that somebody has; messages that wait to be told. */
      /** Since when; null: it is off. */
      lockdown: nullable(name),
      /** In words: what the store orders and this box does not obey. */
      notAdopted: list(long, MANY),
      alarms: object({ critical: count, warning: count, acknowledged: count, untold: count }),
    }),
  ),
  'service/follow': looks(
    'report what happens to sessions and jobs, and alarms, until the client leaves',
    nothing,
    nothing,
  ),
  'alarm/list': looks(
    'list alarms, the one that changed last first',
    alarmsRequest,
    object({ alarms: list(alarmSummary, MANY) }),
  ),
  'alarm/acknowledge': changes('acknowledge an alarm', byAlarm, alarmSummary),
  'notify/test': changes(
    'send a test to all who are notified of alarms',
    nothing,
    object({
      channels: list(object({ channel: name, delivered: flag(), reason: nullable(long) }), MANY),
    }),
  ),
  'service/throughput': looks(
    'show what guests read and write, and what backups read: now and in the last hour',
    throughputRequest,
    throughput,
  ),
  'support/create': changes(
    'collect logs and settings for a support request, without secrets',
    nothing,
    object({
      name,
      contents: list(object({ file: name, bytes: count, cut: flag() }), MANY),
      /** A tar.gz in base64. */
      archive: text({ max: ARCHIVE_MAX }),
    }),
  ),
  'lockdown/show': looks('show whether the lockdown is on', nothing, lockdownState),
  'lockdown/on': changes('allow only what a recovery needs', nothing, lockdownState),
  'lockdown/off': changes(
    'end the lockdown, or agree to its end where two users have to',
    nothing,
    lockdownState,
  ),
  'token/create': changes(
    'create a token for requests from other hosts',
    tokenRequest,
    object({ ...token, /** Its text, told this once. */ secret: name }),
  ),
  'token/list': looks('list tokens', nothing, object({ tokens: list(object(token), MANY) })),
  'token/revoke': changes('revoke a token', byToken, object({ token: name, revoked: flag() })),
  'audit/show': looks(
    'show who changed what, the newest last',
    lastRequest,
    object({ entries: list(auditEntry, MANY) }),
  ),
  'audit/check': looks(
    'check whether the audit log was altered',
    nothing,
    object({ entries: count, first: count, hash: name, problem: nullable(long) }),
  ),
  ...STORE_OPERATIONS,
  'backup/create': withKey(
    changes('make a recovery point from disk images', backupRequest, madePoint),
  ),
  'backup/list': looks(
    'list recovery points',
    listRequest,
    object({ points: list(pointSummary, MANY), damaged }),
  ),
  'backup/page': looks(
    'list some recovery points, newest first',
    pageRequest,
    object({
      points: list(pointSummary, MANY),
      damaged,
      /** How many there are in all, and how many newer ones stand before these. */
      ...{ total: count, first: count },
    }),
  ),
  'backup/show': withKey(looks('show a recovery point', byPoint, pointSummary)),
  'backup/forget': changes('remove a recovery point', byPoint, object({ point: name })),
  'restore/disk': withKey(
    changes(
      'write a disk to a file, a device or an NBD server',
      restoreRequest,
      object({ point: name, disk: name, to: long, format: name, size: count, writtenBytes: count }),
    ),
  ),
  'backup/retain': changes(
    'forget the recovery points of backups that no rule keeps',
    retainRequest,
    object({
      ...{ forgotten: list(name, MANY), inUse: list(name, MANY), kept: count },
      future: list(name, MANY),
    }),
  ),
  'job/create': withKey(
    changes('do it in the background, even if it takes days', jobRequest, jobSummary),
  ),
  'job/unlock': withKey(changes('give a job the key that it waits for', byJob, jobSummary)),
  'job/list': looks(
    'list jobs, newest first',
    jobsRequest,
    object({ jobs: list(jobSummary, MANY), total: count, first: count }),
  ),
  'job/show': looks('show a job', byJob, jobSummary),
  'job/log': looks(
    "read a job's log",
    jobLogRequest,
    object({ job: name, lines: list(logLine, MANY) }),
  ),
  'job/attend': looks('report the progress of a job until it has ended', byJob, jobSummary),
  'job/cancel': changes('cancel a job that waits or runs', byJob, jobSummary),
  'schedule/create': withKey(
    changes('make jobs at certain times', scheduleRequest, scheduleSummary),
  ),
  'schedule/list': looks(
    'list schedules',
    nothing,
    object({ schedules: list(scheduleSummary, MANY) }),
  ),
  'schedule/remove': changes(
    'remove a schedule: it makes no further jobs',
    bySchedule,
    object({ schedule: name, removed: flag() }),
  ),
  'session/list': looks(
    'list recovery sessions',
    nothing,
    object({ sessions: list(sessionSummary, MANY), damaged }),
  ),
  'export/list': looks(
    'list what running sessions export, and who is connected',
    nothing,
    object({ exports: list(sessionExport, MANY) }),
  ),
  'session/show': looks('show a recovery session', bySession, shownSession),
  'session/log': looks(
    'read what happened to a session since the service was started',
    sessionLogRequest,
    object({ session: name, lines: list(logLine, MANY) }),
  ),
  'session/start': withKey(changes('run a recovery point', startRequest, readySession)),
  'session/resume': withKey(
    changes('resume a session where it was left', resumeRequest, readySession),
  ),
  'session/attend': looks(
    'report what happens to a session until it ends',
    bySession,
    object({ session: name }),
  ),
  'session/stop': changes(
    'flush a session and leave it, to be resumed',
    bySession,
    object({ session: name, stopped: flag() }),
  ),
  'session/discard': changes(
    'throw away what a session wrote',
    bySession,
    object({ session: name, discarded: flag() }),
  ),
  'session/keep': withKey(changes('make a session a new recovery point', bySession, keptSession)),
  ...FILES_OPERATIONS,
  ...HOST_OPERATIONS,
} as const satisfies Readonly<Record<string, Operation>>;

export type OperationName = keyof typeof OPERATIONS;
export type RequestOf<N extends OperationName> = Of<(typeof OPERATIONS)[N]['request']>;
export type ResultOf<N extends OperationName> = Of<(typeof OPERATIONS)[N]['result']>;

/** What changes something, and is allowed all the same while the lockdown is on. */
export const IN_LOCKDOWN: ReadonlySet<OperationName> = new Set([
  'files/browse',
  'files/close',
  'files/copy',
  'files/open',
  'lockdown/off',
  'restore/disk',
  'session/keep',
  'session/resume',
  'session/start',
  'session/stop',
  'ssh/off',
  'store/check',
  'store/rebuild-index',
  'support/create',
  // Somebody may have stolen it.
  'token/revoke',
]);

/** Those of which one may take hours. */
export const APART: ReadonlySet<OperationName> = new Set([
  'backup/create',
  'restore/disk',
  'session/keep',
  'store/check',
  'store/rebuild-index',
]);

/**
 * Not for those who ask from other hosts: who could let others in could let anybody in, and a lockdown counts users.
 */
export const AT_THE_BOX: ReadonlySet<OperationName> = new Set([
  'token/create',
  'token/list',
  'token/revoke',
  'lockdown/on',
  'lockdown/off',
  // Whoever logs in is at the machine.
  'host/password',
  'host/factory-reset',
  'ssh/on',
  'ssh/shell',
  'ssh-key/add',
  // Every disk is a file of the machine, and what was on this one is lost.
  'pool/create',
  // Sessions show decrypted disks, jobs read files of this machine.
  'store/adopt',
]);
