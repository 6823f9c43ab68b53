import type { Condition } from '../../alarms/alarm-state.ts';
import { fillLevel, type FillLimits, usedPercent } from '../../alarms/pool-fill.ts';
import type { AlarmKind, AlarmLevel } from '../../formats/store/service/alarm.ts';
import type { GrowthSample } from '../../formats/store/service/growth.ts';
import type { PlacementWait } from '../../formats/store/sessions/placement.ts';
import type { JobRecord } from '../../formats/store/service/job.ts';
import { hasEnded } from '../../jobs/job-state.ts';
import type { Schedules } from '../../jobs/schedules.ts';
import { formatSize, GiB } from '../../lib/sizes.ts';
import type { Owed } from '../sessions/placed/owed.ts';
import { backupReserve, sessionReserve } from '../../store/directory/space-reserve.ts';
import type { Damage } from '../../operations/nouns/backup.ts';
import { forecastOf } from './growth.ts';
import { lateProofs } from './proof-alarms.ts';
import type { Space } from '../../sys/files/file-system.ts';

/* Problems that can be seen from the present state: found again after each start, and over when they are gone. */
export interface Circumstances {
  readonly now: Date;
  readonly space: Space;
  /** How full it was, in the last days. */
  readonly growth: readonly GrowthSample[];
  readonly limits: FillLimits;
  /** The level of the open alarm of this kind: at a limit it must not come and go all day. */
  readonly before: (kind: AlarmKind) => AlarmLevel | undefined;
  /** The number of running sessions. */
  readonly running: number;
  /** Sessions that should run and do not, and why. */
  readonly waiting: ReadonlyMap<string, string>;
  /** For what sessions with a machine on a hypervisor wait. */
  readonly placed: ReadonlyMap<string, PlacementWait>;
  /** What given up sessions have left on hypervisors, and could not be removed there. */
  readonly owed: readonly Owed[];
  readonly jobs: readonly JobRecord[];
  /** Whether a job waits for a key. */
  readonly needsKey: (job: string) => boolean;
  readonly schedules: Pick<Schedules, 'list' | 'nth'>;
  /** Descriptions of orders in the store that this box did not give. */
  readonly foreign: readonly string[];
  /** Why the box's memory cannot be used. */
  readonly boxProblem: string | undefined;
  /** The number of frames that reads and checks found missing or damaged. */
  readonly damagedFrames: number;
  /** Disks of recovery points that need them, as the last scrub found them. */
  readonly hurtDisks: readonly string[];
  /** Unreadable parts of the overlays of running sessions. */
  readonly damagedSessions: ReadonlyMap<string, readonly Damage[]>;
  /** For how many periods a schedule may have no success. */
  readonly latePeriods: number;
}

export const SEEN_KINDS: readonly AlarmKind[] = [
  'pool-space',
  'session-space',
  'session-waits',
  'session-left',
  'job-failed',
  'job-waits',
  'schedule-late',
  'proof-late',
  'settings',
  'not-served',
  'store-not-adopted',
  'box-memory',
  'damaged-frames',
  'damaged-overlay',
];

/** Guests that write at full speed fill it within a minute: time to act. */
const SESSION_SPACE_LOW = 4 * GiB;
const SESSION_SPACE_ENOUGH = 6 * GiB;
const DAY_MS = 24 * 60 * 60_000;
/** Time to order a disk, and to have it built in. */
const FULL_SOON_DAYS = 14;
/** The alarm must not come and go with each night's backups. */
const FULL_SLACK_DAYS = 3;
/** The first days of a store are full backups: it will not go on like that. */
const FORECAST_FROM_DAYS = 4;
const MAKE_ROOM = 'Forget recovery points, then run "holdfast store sweep", or enlarge the disk';
/** Some 3,000 characters at most: an alarm has room for 4,096. */
const LISTED_MAX = 12;
const LISTED_LENGTH_MAX = 250;
/** A schedule with a period of minutes is not late because one job took longer. */
const LATE_MIN_MS = 15 * 60_000;
/** A host that restarts is back by then. */
const PLACED_WAITS_MS = 10 * 60_000;
/** Failing jobs are retried for 81 minutes. */
const JOB_WAITS_MS = 2 * 60 * 60_000;

export function conditionsOf(it: Circumstances): Condition[] {
  return [
    ...poolSpace(it),
    ...sessionSpace(it),
    ...[...it.waiting].map(
      ([about, reason]): Condition => ({
        ...{ kind: 'session-waits', about, level: 'critical' },
        message: `session ${about} cannot continue: ${reason}`,
      }),
    ),
    ...placedWaits(it),
    ...owedThere(it),
    ...notAdopted(it),
    ...damagedFrames(it),
    ...damagedOverlays(it),
    ...failedJobs(it.jobs),
    ...waitingJobs(it),
    ...lateSchedules(it),
    ...lateProofs(it.jobs, it.now),
  ];
}

/** What passes by itself is an alarm only once it takes long; a guest that shuts down is none. */
function placedWaits({ now, placed }: Circumstances): Condition[] {
  return [...placed].flatMap(([about, { reason, since, message }]): Condition[] => {
    const needsPerson = reason === 'person' || reason === 'machine-gone';
    const isLong = now.getTime() - Date.parse(since) >= PLACED_WAITS_MS;
    if (reason === 'machine-off' || (!needsPerson && !isLong)) return [];
    return [
      {
        ...{ kind: 'session-waits', about, level: needsPerson ? 'critical' : 'warning' },
        message: `session ${about} waits: ${message}`,
      },
    ];
  });
}

export function owedThere({ owed }: Pick<Circumstances, 'owed'>): Condition[] {
  return owed
    .filter(({ needsPerson }) => needsPerson)
    .map(({ debt: { session, hypervisor }, why }): Condition => {
      const what = `what session ${session}, which was abandoned, has left on hypervisor ${hypervisor}`;
      const about = session;
      const leave = `holdfast alarm acknowledge session-left:${session}`;
      const advice = 'The service tries again each minute, and the alarm ends once nothing is left';
      const message = `${what} could not be removed there: ${why}. ${advice}. To leave it there as it is: "${leave}"`;
      return { kind: 'session-left', about, level: 'warning', message };
    });
}

function damagedFrames({ damagedFrames: count, hurtDisks }: Circumstances): Condition[] {
  if (count === 0) return [];
  const message =
    `${count} frames of the store are missing or damaged, so recovery points that need them are not whole` +
    `${hurtDisks.length > 0 ? `: ${listed(hurtDisks)}` : ''}. ` +
    'Reading them is an I/O error; all else is served. Full backups of these machines store again what is still ' +
    'there; "holdfast store scrub" lists all that they hit';
  return [{ kind: 'damaged-frames', level: 'critical', message }];
}

function damagedOverlays({ damagedSessions }: Circumstances): Condition[] {
  return [...damagedSessions].map(([about, damage]): Condition => {
    const message =
      `data that the guest of session ${about} wrote is damaged: ` +
      `${listed(damage.map(({ what }) => what))}. Reading a damaged page is an I/O error for the guest, until it ` +
      'writes that page again; all others are served. Copy what matters out of the guest, and check the disk of the ' +
      'store; "holdfast store check" with the key of the set ' +
      'lists all damage';
    return { kind: 'damaged-overlay', about, level: 'critical', message };
  });
}

function notAdopted({ foreign, boxProblem }: Circumstances): Condition[] {
  const lost: Condition[] =
    boxProblem === undefined
      ? []
      : [
          {
            ...{ kind: 'box-memory', level: 'critical' },
            message:
              `${boxProblem}; no order in the store is obeyed automatically. Put the memory back from a copy, or: ` +
              '"holdfast store adopt"',
          },
        ];
  if (foreign.length === 0) return lost;
  const message =
    `the box did not give these orders, and does not obey them: ${listed(foreign)}. ` +
    'See "holdfast store adopt"; "session discard", "job cancel" and "schedule remove" remove one';
  return [...lost, { kind: 'store-not-adopted', level: 'critical', message }];
}

/** Lists as many as fit in a message. */
export function listed(words: readonly string[]): string {
  const some = words.slice(0, LISTED_MAX).map((it) => it.slice(0, LISTED_LENGTH_MAX));
  const more = words.length - some.length;
  return `${some.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

function poolSpace({ now, space, growth, limits, before }: Circumstances): Condition[] {
  const percent = usedPercent(space);
  const standing = before('pool-space');
  const level = fillLevel(percent, limits, standing);
  if (level !== undefined) {
    const message = `the disk of the store is ${Math.floor(percent)} % full. ${MAKE_ROOM}`;
    return [{ kind: 'pool-space', level, message }];
  }
  const days = daysUntilFull({ now, space, growth });
  if (days === undefined || days > FULL_SOON_DAYS + (standing ? FULL_SLACK_DAYS : 0)) return [];
  const when = `in some ${Math.ceil(days)} days if it fills as it does now`;
  const message = `the disk of the store will be full for backups ${when}. ${MAKE_ROOM}`;
  return [{ kind: 'pool-space', level: 'warning', message }];
}

/** Backups stop before the disk is full. Undefined: it does not fill, or was not measured for long enough. */
function daysUntilFull({
  now,
  space,
  growth,
}: Pick<Circumstances, 'now' | 'space' | 'growth'>): number | undefined {
  const freeBytes = Math.max(0, space.freeBytes - backupReserve(space, true));
  const { since, fullAt } = forecastOf(growth, { ...space, freeBytes }, now);
  if (since === undefined || fullAt === undefined) return undefined;
  if (now.getTime() - Date.parse(since) < FORECAST_FROM_DAYS * DAY_MS) return undefined;
  return (Date.parse(fullAt) - now.getTime()) / DAY_MS;
}

function sessionSpace({ space, running, before }: Circumstances): Condition[] {
  const left = space.freeBytes - sessionReserve(space);
  const limit = before('session-space') === undefined ? SESSION_SPACE_LOW : SESSION_SPACE_ENOUGH;
  if (running === 0 || left >= limit) return [];
  const message =
    left > 0
      ? `guests of sessions may write less than ${formatSize(limit)} until the disk is full for them`
      : `the disk is full for sessions: writes of guests wait until there is space, or fail. ${MAKE_ROOM}`;
  return [{ kind: 'session-space', level: left > 0 ? 'warning' : 'critical', message }];
}

/** Kinds of jobs that end badly with a result when they have found something. */
const FINDING: ReadonlySet<string> = new Set<JobRecord['kind']>(['check', 'scrub', 'verify']);

/** A failed job counts until another job of the same schedule, or with the same request, succeeds. */
function failedJobs(jobs: readonly JobRecord[]): Condition[] {
  const newest = new Map<string, JobRecord>();
  for (const job of [...jobs].sort((a, b) => (a.created < b.created ? -1 : 1))) {
    const isResult = hasEnded(job) && job.state !== 'canceled';
    if (isResult) newest.set(job.schedule ?? JSON.stringify([job.kind, job.request]), job);
  }
  return [...newest.values()].flatMap((job): Condition[] => {
    // Findings of a check, and proofs that failed, are alarms of their own.
    const isFind = FINDING.has(job.kind) && job.result !== undefined;
    if (job.state !== 'failed' || isFind) return [];
    const message = `job ${job.id} has failed: ${job.reason ?? 'unknown reason'}`;
    const about = job.schedule ?? job.id;
    return [{ kind: 'job-failed', about, level: 'warning', message, occurrence: job.id }];
  });
}

/**
 * At once if only a person can help; otherwise after the time in which a job would have failed if nothing were away.
 */
function waitingJobs({ now, jobs, needsKey }: Circumstances): Condition[] {
  return jobs.flatMap(({ id, state, reason, created }): Condition[] => {
    if (state !== 'waiting' || reason === undefined) return [];
    const isLong = now.getTime() - Date.parse(created) >= JOB_WAITS_MS;
    if (!isLong && !needsKey(id)) return [];
    const message = `job ${id} waits: ${reason}`;
    return [{ kind: 'job-waits', about: id, level: 'warning', message }];
  });
}

/** Proofs that failed are an alarm of their own: they were made in time. */
function hasDoneItsWork({ kind, state, result }: JobRecord): boolean {
  return state === 'done' || (kind === 'verify' && state === 'failed' && result !== undefined);
}

function lateSchedules({ now, jobs, schedules, latePeriods }: Circumstances): Condition[] {
  return schedules.list().flatMap(({ schedule }): Condition[] => {
    const { name, created, paused, changed = created } = schedule;
    if (paused !== undefined) return [];
    const done = jobs.filter((job) => job.schedule === name && hasDoneItsWork(job));
    const last = [changed, ...done.map((job) => job.created)].sort().at(-1)!;
    const due = schedules.nth(name, new Date(last), latePeriods);
    const isLate =
      due !== undefined && due <= now && now.getTime() - Date.parse(last) >= LATE_MIN_MS;
    if (!isLate) return [];
    const since = done.length > 0 ? `since ${last}` : 'yet';
    const message = `schedule ${name} has not succeeded ${since}`;
    return [{ kind: 'schedule-late', about: name, level: 'critical', message }];
  });
}
