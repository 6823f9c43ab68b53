import { join } from 'node:path/posix';
import { type AlarmBook, openAlarmBook, standingAlarms } from '../../alarms/alarm-book.ts';
import {
  alarmId,
  type AlarmNews,
  type Condition,
  stands,
  troubleOf,
} from '../../alarms/alarm-state.ts';
import type { Sender } from '../../alarms/channel.ts';
import { wantedMarks } from '../../store/packs/wanted-marks.ts';
import { type ClockWatch, openClockWatch } from '../../alarms/clock-watch.ts';
import { type Lockdown, openLockdown } from '../../alarms/lockdown.ts';
import { type Outbox, openOutbox } from '../../alarms/outbox.ts';
import type { FillLimits } from '../../alarms/pool-fill.ts';
import {
  type AlarmNotice,
  type Channel,
  CHANNELS,
  OUTBOX,
} from '../../formats/store/service/alarm.ts';
import type { Checks } from '../../formats/store/base/plain-record.ts';
import { asError } from '../../lib/as-error.ts';
import type { Damage } from '../../operations/nouns/backup.ts';
import type { Change } from '../../operations/events.ts';
import type { OperationName, RequestOf, ResultOf } from '../../operations/operations.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { thisHost } from '../../sys/net/this-host.ts';
import { ticker } from '../../sys/base/ticker.ts';
import type { World } from '../../sys/world.ts';
import type { AuditCheck } from '../audit/audit-files.ts';
import type { Audit } from '../audit/audit.ts';
import { agreements } from './agreements.ts';
import { inBackground } from './in-background.ts';
import { readGrowth } from './growth.ts';
import { conditionsOf, SEEN_KINDS } from './alarm-rules.ts';
import { proofEnded } from './proof-alarms.ts';
import { seenTrusted } from './trusted-alarm.ts';
import type { JobService } from '../jobs/job-service.ts';
import { hurtLines } from '../upkeep/hurt-lines.ts';
import type { SessionSupervisor } from '../sessions/session-supervisor.ts';

/* Monitors the store and its sessions: raises alarms, keeps them until they are over, and notifies people. */
export interface Monitor extends AsyncDisposable {
  readonly alarms: AlarmBook;
  readonly lockdown: Lockdown;
  /** How many people must approve the end of a lockdown that begins now. */
  persons(): number;
  /** Notes that a user agrees to acknowledge the alarm; whether another one has, within the last hour. */
  agree(alarm: string, uid: number): boolean;
  /** Raises an alarm about a problem that leaves no trace. */
  trouble(message: string): void;
  /** Notes the result of an operation in a process of its own: a check may have found damage. */
  finished<N extends OperationName>(
    name: N,
    request: RequestOf<N>,
    result: ResultOf<N>,
  ): Promise<void>;
  auditChecked(result: AuditCheck): Promise<void>;
  /** Looks again now: a change may be the cause of an alarm, or its end. */
  wake(): void;
  /** Descriptions of orders in the store that this box does not obey, at the last look. */
  notAdopted(): readonly string[];
  /** Tries to send waiting messages now. */
  retell(): void;
  /** The number of unsent messages. */
  untold(): number;
  /** Sends a test message through each channel. */
  test(): Promise<ResultOf<'notify/test'>>;
  start(watched: Watched): void;
}

export interface Watched {
  readonly sessions: Pick<SessionSupervisor, 'counts' | 'waiting' | 'damaged'> & {
    readonly placed: Pick<SessionSupervisor['placed'], 'waits' | 'owed'>;
  };
  readonly jobs: Pick<JobService, 'schedules' | 'keys'> & {
    readonly queue: Pick<JobService['queue'], 'list'>;
  };
  readonly audit: Pick<Audit, 'check'>;
  /** Descriptions of orders in the store that are not obeyed; or why the box's memory cannot be used. */
  foreign(): Promise<readonly string[]>;
  boxProblem(): Promise<string | undefined>;
}

export interface MonitorOptions {
  readonly world: World;
  /** The directory of the store. */
  readonly directory: string;
  /** Whether its records carry checksums. */
  readonly checks: () => Checks;
  /** The directory of the box, outside every store: a prohibition must not be lost with a file of the store. */
  readonly boxDirectory: string;
  /** The current rules. */
  readonly rules: () => MonitorRules;
  /** Problems of the service itself. */
  readonly ownConditions: () => readonly Condition[];
  readonly senders: Readonly<Record<Channel, () => Sender | undefined>>;
  readonly tell: (change: Extract<Change, { event: 'alarm' }>) => void;
  readonly log: (level: 'error' | 'warning' | 'notice', message: string) => void;
}

export interface MonitorRules extends FillLimits {
  readonly latePeriods: number;
  readonly persons: number;
}

const LOOK_EVERY_MS = 30_000;
const AUDIT_EVERY_MS = 24 * 60 * 60_000;
/** Identifies an alteration of the audit log: an occurrence has room for 256 characters. */
const OCCURRENCE_MAX = 100;

export async function openMonitor(options: MonitorOptions): Promise<Monitor> {
  const { world, directory, checks, boxDirectory, log } = options;
  await using stack = new AsyncDisposableStack();
  const background = inBackground();
  stack.defer(() => background.settled());
  const say = (message: string): void => log('error', message);
  /** Damage that is found before alarms can be raised. */
  const early: string[] = [];
  let isOpen = false;
  const onTrouble = (message: string): void => {
    say(message);
    if (!isOpen) early.push(message);
  };
  const outboxes = new Map<Channel, Outbox>();
  for (const channel of CHANNELS) {
    outboxes.set(
      channel,
      stack.use(
        await openOutbox({
          // Not in the store: an attacker who can write there could send messages in this box's name.
          ...{ world, directory: join(boxDirectory, OUTBOX, channel), onTrouble },
          sender: options.senders[channel],
          onState: (reason) => background.run(() => told(channel, reason)),
        }),
      ),
    );
  }
  const alarms = await openAlarmBook({
    ...{ world, directory, checks, onTrouble },
    onNews: (news) => spread(news, { ...options, outboxes }),
  });
  const places = { directory: boxDirectory, store: directory, checks };
  const lockdown = await openLockdown(world, places, onTrouble);
  const clock = await openClockWatch(world, boxDirectory, onTrouble);
  isOpen = true;
  for (const message of early) await alarms.raise(troubleOf(message));

  async function told(channel: Channel, reason: string | undefined): Promise<void> {
    const what = { kind: 'notify-failing', about: channel, level: 'warning' } as const;
    if (reason === undefined) return alarms.clear(alarmId(what));
    await alarms.raise({ ...what, message: `notifications by ${channel} fail: ${reason}` });
  }
  const watch = watchOf(options, { alarms, clock });
  stack.use(watch);
  // Before the first job can delete anything.
  await watch.seeClock();
  const owned = stack.move();
  return {
    ...{ alarms, lockdown },
    persons: () => options.rules().persons,
    agree: agreements(world.clock),
    trouble(message) {
      say(message);
      background.run(() => alarms.raise(troubleOf(message)));
    },
    async finished(name, request, result) {
      if (name === 'store/check') {
        const check = request as RequestOf<'store/check'>;
        await checked(alarms, check, result as ResultOf<'store/check'>);
      } else if (name === 'store/scrub') {
        await scrubbed(alarms, result as ResultOf<'store/scrub'>);
      } else if (name === 'verify/point') {
        await proofEnded(alarms, result as ResultOf<'verify/point'>);
      } else if ('damage' in result) {
        await met(alarms, name, result.damage);
      }
      watch.wake();
    },
    auditChecked: (result) => auditChecked(alarms, result),
    wake: () => watch.wake(),
    notAdopted: () => watch.notAdopted(),
    retell() {
      for (const outbox of outboxes.values()) outbox.wake();
    },
    untold: () => [...outboxes.values()].reduce((sum, { size }) => sum + size, 0),
    test: () => test(options),
    start(watched) {
      for (const outbox of outboxes.values()) outbox.start();
      watch.start(watched);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function watchOf(
  { world, directory, boxDirectory, rules, log, ownConditions }: MonitorOptions,
  { alarms, clock }: { readonly alarms: AlarmBook; readonly clock: ClockWatch },
) {
  let watched: Watched | undefined;
  let auditedMs = Number.NEGATIVE_INFINITY;
  let notAdopted: readonly string[] = [];

  async function see({ sessions, jobs, foreign, boxProblem }: Watched): Promise<void> {
    const { latePeriods, persons: _, ...limits } = rules();
    const standing = new Set(alarms.list().flatMap((it) => (stands(it) ? [it.id] : [])));
    notAdopted = await foreign();
    const marks = wantedMarks(world.files, join(directory, 'wanted'));
    const damagedFrames = (await marks.list()).length;
    const hurtDisks = damagedFrames > 0 ? await hurtLines(world, directory) : [];
    const conditions = conditionsOf({
      ...{ latePeriods, limits, now: world.clock.now(), schedules: jobs.schedules },
      before: (kind) => alarms.list().find((it) => it.kind === kind && stands(it))?.level,
      space: await world.files.space(directory),
      growth: await readGrowth(world, directory),
      foreign: notAdopted,
      boxProblem: await boxProblem(),
      ...{ damagedFrames, hurtDisks },
      running: sessions.counts().running,
      waiting: sessions.waiting(),
      placed: sessions.placed.waits(),
      owed: sessions.placed.owed(),
      damagedSessions: sessions.damaged(),
      jobs: jobs.queue.list().map(({ job }) => job),
      // A job that waited for a key when the service ended still does, until it has been tried again.
      needsKey: (id) =>
        jobs.keys.neededBy(id) !== undefined ||
        (!jobs.keys.wasTried(id) && standing.has(alarmId({ kind: 'job-waits', about: id }))),
    });
    await alarms.compare(SEEN_KINDS, [...conditions, ...ownConditions()]);
  }
  async function seeClock(): Promise<void> {
    const jump = await clock.look();
    if (jump === undefined) return;
    const message = `${jump}; nothing is forgotten until a person acknowledges it`;
    await alarms.raise({ kind: 'clock-jump', level: 'critical', message });
    // Only then: the prohibition of deletions must not be lost.
    if ((await standingAlarms(world.files, directory, 'clock-jump')).length > 0)
      await clock.trust();
  }
  async function seeTrusted(): Promise<void> {
    await alarms.compare(['trusted-time'], await seenTrusted(world, boxDirectory));
  }
  async function seeAudit({ audit }: Watched): Promise<void> {
    const nowMs = world.clock.sinceBootMs();
    if (nowMs - auditedMs < AUDIT_EVERY_MS) return;
    auditedMs = nowMs;
    await auditChecked(alarms, await audit.check());
  }
  async function seen(what: () => Promise<void>): Promise<void> {
    try {
      await what();
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      log('error', `the check for alarms failed: ${cause.message}`);
    }
  }
  async function look(): Promise<number> {
    const it = watched;
    await seen(seeClock);
    await seen(seeTrusted);
    if (it) await seen(() => see(it));
    if (it) await seen(() => seeAudit(it));
    return LOOK_EVERY_MS;
  }
  const ticks = ticker(world.clock, look);
  return {
    async seeClock() {
      await seen(seeClock);
      await seen(seeTrusted);
    },
    wake: () => ticks.wake(),
    notAdopted: () => notAdopted,
    start(it: Watched): void {
      watched = it;
      ticks.start();
    },
    [Symbol.asyncDispose]: () => ticks[Symbol.asyncDispose](),
  };
}

/** Raises an alarm for damage found by work that continues; a check without findings ends it. */
async function met(
  alarms: AlarmBook,
  name: OperationName,
  damage: readonly Damage[],
): Promise<void> {
  const [first] = damage;
  if (!first) return;
  const more = damage.length > 1 ? `, and ${damage.length - 1} more` : '';
  const message = `${name} met damage: ${first.where}: ${first.what}${more}; run "store check"`;
  await alarms.raise({ kind: 'damage', about: 'structure', level: 'critical', message });
}

/** A check that read less does not cancel the findings of one that read more. */
async function checked(
  alarms: AlarmBook,
  { readData }: RequestOf<'store/check'>,
  { problems, locked }: ResultOf<'store/check'>,
): Promise<void> {
  const [first] = problems;
  const finds = { contents: 'contents', structure: 'structure' } as const;
  const about = readData ? finds.contents : finds.structure;
  if (first) {
    const more = problems.length > 1 ? `, and ${problems.length - 1} more` : '';
    const message = `a check found damage: ${first.where}: ${first.what}${more}`;
    return alarms.raise({ kind: 'damage', about, level: 'critical', message });
  }
  if (locked.length > 0) return;
  const over = readData ? Object.values(finds) : [finds.structure];
  for (const about of over) await alarms.clear(alarmId({ kind: 'damage', about }));
}

/**
 * Ends only with a pass that has authenticated all and found nothing, in none of its runs. Damaged blocks are marked:
 * they are an alarm of their own as well, which ends when they are stored again.
 */
async function scrubbed(
  alarms: AlarmBook,
  { problems, unverified, ended, summed, found, wanted }: ResultOf<'store/scrub'>,
): Promise<void> {
  const what = { kind: 'damage', about: 'contents' } as const;
  const [first] = problems;
  if (first) {
    const more = problems.length > 1 ? `, and ${problems.length - 1} more` : '';
    const message = `a scrub found damage: ${first.where}: ${first.what}${more}`;
    return alarms.raise({ ...what, level: 'critical', message });
  }
  const isWhole = found + summed + wanted + unverified.length === 0;
  if (ended !== null && isWhole) await alarms.clear(alarmId(what));
}

async function auditChecked(alarms: AlarmBook, { problem }: AuditCheck): Promise<void> {
  const what = { kind: 'audit-broken', level: 'critical' } as const;
  if (problem === null) return alarms.clear(alarmId(what));
  const message = `the audit log was altered: ${problem}`;
  await alarms.raise({ ...what, message, occurrence: message.slice(0, OCCURRENCE_MAX) });
}

/** Passes news on to followers of the service and, before the alarm is recorded, to the channels. */
async function spread(
  { event, alarm }: AlarmNews,
  {
    world,
    senders,
    outboxes,
    tell,
    log,
  }: MonitorOptions & { outboxes: ReadonlyMap<Channel, Outbox> },
): Promise<void> {
  const { id, kind, about, level, message } = alarm;
  const isGood = event === 'ended' || event === 'acknowledged';
  // A trouble was logged already.
  if (isGood || kind !== 'trouble') log(isGood ? 'notice' : 'error', wordsOf(event, alarm));
  tell({ event: 'alarm', message, alarm: id, what: event, level });
  if (event === 'acknowledged') return;
  const time = world.clock.now().toISOString();
  for (const [channel, outbox] of outboxes) {
    const isItself = kind === 'notify-failing' && about === channel;
    if (isItself || !senders[channel]()) continue;
    await outbox.put({ event, host: thisHost().name, alarm: id, kind, level, message, time });
  }
}

function wordsOf(event: AlarmNews['event'], { id, message }: AlarmNews['alarm']): string {
  const words = {
    raised: '',
    again: ' again',
    ended: ' has ended',
    acknowledged: ' is acknowledged',
  };
  return `alarm ${id}${words[event]}: ${message}`;
}

async function test({ world, senders }: MonitorOptions): Promise<ResultOf<'notify/test'>> {
  const created = world.clock.now().toISOString();
  const notice: AlarmNotice = {
    ...{ event: 'test', host: thisHost().name, alarm: 'test', kind: 'test', level: 'warning' },
    ...{ message: 'this is a test message', time: created },
  };
  const attempts = CHANNELS.flatMap((channel) => {
    const sender = senders[channel]();
    return sender ? [{ channel, sender }] : [];
  });
  const channels = await Promise.all(
    attempts.map(async ({ channel, sender }) => {
      const id = `test-${Buffer.from(world.random.bytes(8)).toString('hex')}`;
      const message = { id, created, attempts: 0, notBefore: undefined, reason: undefined, notice };
      try {
        await sender.send(message, new AbortController().signal);
        return { channel, delivered: true, reason: null };
      } catch (cause) {
        return { channel, delivered: false, reason: asError(cause).message };
      }
    }),
  );
  return { channels };
}
