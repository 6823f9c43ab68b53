import { createHash } from 'node:crypto';
import {
  type AlarmKind,
  type AlarmLevel,
  type AlarmRecord,
  ALARMS_MAX,
} from '../formats/store/service/alarm.ts';

/*
 * The life of alarms, as pure functions of their records. An alarm is raised once and stays open until it ends; its
 * kind decides what ends it.
 */

/** The cause of an alarm, present now. */
export interface Condition {
  readonly kind: AlarmKind;
  /** Identifies one of several of its kind. */
  readonly about?: string | undefined;
  readonly level: AlarmLevel;
  readonly message: string;
  /** A new value means that it has happened again. */
  readonly occurrence?: string | undefined;
}

/** What to notify people about. */
export interface AlarmNews {
  readonly event: 'raised' | 'again' | 'ended' | 'acknowledged';
  readonly alarm: AlarmRecord;
}

export interface Step {
  readonly alarms: readonly AlarmRecord[];
  readonly news: readonly AlarmNews[];
  /** Alarms without room: new ones, and those that gave way to more important ones. */
  readonly leftOut: readonly AlarmRecord[];
}

/**
 * `gone`: its cause has gone. `acknowledged`: a person has looked, because no machine can know. `either`. `both`:
 * what was wrong once must be looked at, even if it is right again.
 */
const ENDS = {
  'pool-space': 'gone',
  'session-space': 'gone',
  'session-waits': 'gone',
  'session-left': 'either',
  'schedule-late': 'gone',
  'job-waits': 'gone',
  settings: 'gone',
  'not-served': 'gone',
  damage: 'gone',
  'damaged-frames': 'gone',
  'damaged-overlay': 'both',
  'notify-failing': 'gone',
  'job-failed': 'either',
  'proof-failed': 'either',
  'proof-late': 'gone',
  'clock-jump': 'acknowledged',
  'trusted-time': 'gone',
  trouble: 'acknowledged',
  'audit-broken': 'both',
  'store-not-adopted': 'gone',
  'store-adopted': 'acknowledged',
  'box-memory': 'gone',
} as const satisfies Record<AlarmKind, 'gone' | 'acknowledged' | 'either' | 'both'>;

/** Ended alarms kept for people to look at. */
const OVER_MAX = 100;
/** People do not read more; each is in the log as well. */
const TROUBLES_MAX = 100;
const MESSAGE_MAX = 4096;
/** The part that identifies a trouble: the rest may differ each time. */
const TROUBLE_LENGTH = 200;
const TROUBLE_DIGITS = 8;

export function alarmId({ kind, about }: Pick<Condition, 'kind' | 'about'>): string {
  return about === undefined ? kind : `${kind}:${about}`;
}

/**
 * A problem that the service met while doing something else. Its ID is short: people type it to acknowledge the
 * alarm.
 */
export function troubleOf(message: string): Condition {
  const digest = createHash('sha256').update(message.slice(0, TROUBLE_LENGTH)).digest('hex');
  return { kind: 'trouble', about: digest.slice(0, TROUBLE_DIGITS), level: 'warning', message };
}

/** Whether the alarm is open. */
export function stands({ ended }: AlarmRecord): boolean {
  return ended === undefined;
}

/** Records an occurrence, whether there is an alarm for it already or not. */
export function raised(alarms: readonly AlarmRecord[], condition: Condition, now: Date): Step {
  const id = alarmId(condition);
  const before = alarms.find((it) => it.id === id);
  const isKnown = before !== undefined && (stands(before) || before.holds);
  const next = isKnown ? again(before, condition, now) : fresh(condition, now);
  if (next === before) return unchanged(alarms);
  const isNew = before === undefined || !stands(before);
  const victim = isNew ? givesWay(alarms, next) : undefined;
  if (victim === next) return { ...unchanged(alarms), leftOut: [next] };
  const others = alarms.filter((it) => it.id !== id && it !== victim);
  return {
    alarms: trimmed([...others, next]),
    news: newsOf(before, next),
    leftOut: victim && stands(victim) ? [victim] : [],
  };
}

function unchanged(alarms: readonly AlarmRecord[]): Step {
  return { alarms, news: [], leftOut: [] };
}

/**
 * The alarm that is removed to make room for a new one; undefined: there is room. Critical alarms, and kinds of which
 * there is at most one (no `about`), replace a warning about one of many; otherwise the new one itself is left out.
 */
function givesWay(alarms: readonly AlarmRecord[], next: AlarmRecord): AlarmRecord | undefined {
  const troubles = alarms.filter((it) => it.kind === 'trouble' && stands(it));
  if (next.kind === 'trouble' && troubles.length >= TROUBLES_MAX) return oldest(troubles);
  const isFull = alarms.length >= ALARMS_MAX && alarms.every(({ id }) => id !== next.id);
  if (!isFull) return undefined;
  const over = alarms.filter((it) => !stands(it) && !it.holds);
  if (over.length > 0) return oldest(over);
  const isUrgent = next.level === 'critical' || next.about === undefined;
  if (!isUrgent) return next;
  if (troubles.length > 0) return oldest(troubles);
  const minor = alarms.filter(({ level, about }) => level === 'warning' && about !== undefined);
  return minor.length > 0 ? oldest(minor) : next;
}

/** The oldest of at least one alarm. */
function oldest(alarms: readonly AlarmRecord[]): AlarmRecord {
  return alarms.reduce((a, b) => (b.changed < a.changed ? b : a));
}

function newsOf(before: AlarmRecord | undefined, next: AlarmRecord): AlarmNews[] {
  if (!stands(next)) return [];
  if (!before || !stands(before)) return [{ event: 'raised', alarm: next }];
  return isWorse(before, next) ? [{ event: 'again', alarm: next }] : [];
}

/** Ends an alarm whose cause has gone. */
export function gone(alarms: readonly AlarmRecord[], id: string, now: Date): Step {
  return changedOne(alarms, id, (alarm) =>
    alarm.holds ? settled({ ...alarm, holds: false }, now) : alarm,
  );
}

/** Compares all alarms of these kinds with `conditions`, their present causes. */
export function compared(
  alarms: readonly AlarmRecord[],
  {
    kinds,
    conditions,
  }: { readonly kinds: readonly AlarmKind[]; readonly conditions: readonly Condition[] },
  now: Date,
): Step {
  const wanted = new Set(conditions.map(alarmId));
  const over = alarms.filter(
    ({ id, kind, holds }) => holds && kinds.includes(kind) && !wanted.has(id),
  );
  let step = unchanged(alarms);
  const go = ({ alarms, news, leftOut }: Step): void => {
    step = {
      ...{ alarms, news: [...step.news, ...news] },
      leftOut: [...step.leftOut, ...leftOut],
    };
  };
  for (const { id } of over) go(gone(step.alarms, id, now));
  for (const condition of conditions) go(raised(step.alarms, condition, now));
  return step;
}

/** Undefined: no such alarm is open. */
export function acknowledged(
  alarms: readonly AlarmRecord[],
  { id, uid }: { readonly id: string; readonly uid: number },
  now: Date,
): Step | undefined {
  const alarm = alarms.find((it) => it.id === id && stands(it));
  if (!alarm) return undefined;
  const time = now.toISOString();
  const next = settled({ ...alarm, acknowledged: alarm.acknowledged ?? { time, uid } }, now);
  return {
    alarms: trimmed(alarms.map((it) => (it === alarm ? next : it))),
    news: [{ event: 'acknowledged', alarm: next }],
    leftOut: [],
  };
}

function fresh({ kind, about, level, message, occurrence }: Condition, now: Date): AlarmRecord {
  const time = now.toISOString();
  return {
    ...{
      id: alarmId({ kind, about }),
      kind,
      level,
      about,
      message: shortened(message),
      occurrence,
    },
    ...{ times: 1, holds: ENDS[kind] !== 'acknowledged', raised: time, changed: time },
    ...{ ended: undefined, acknowledged: undefined },
  };
}

/** Returns the same object if nothing is new. */
function again(before: AlarmRecord, condition: Condition, now: Date): AlarmRecord {
  const { level, occurrence } = condition;
  const message = shortened(condition.message);
  const next = {
    ...before,
    level,
    message,
    occurrence,
    holds: ENDS[before.kind] !== 'acknowledged',
  };
  if (isWorse(before, next)) {
    const time = now.toISOString();
    const times = before.times + (occurrence === before.occurrence ? 0 : 1);
    const raised = stands(before) ? before.raised : time;
    return { ...next, times, raised, changed: time, ended: undefined, acknowledged: undefined };
  }
  const isSame =
    level === before.level && message === before.message && next.holds === before.holds;
  return isSame ? before : next;
}

/** Whether the alarm is worse than what was acknowledged. */
function isWorse(before: AlarmRecord, next: AlarmRecord): boolean {
  return (
    next.occurrence !== before.occurrence ||
    (next.level === 'critical' && before.level === 'warning')
  );
}

function changedOne(
  alarms: readonly AlarmRecord[],
  id: string,
  change: (alarm: AlarmRecord) => AlarmRecord,
): Step {
  const alarm = alarms.find((it) => it.id === id);
  const next = alarm && change(alarm);
  if (!alarm || !next || next === alarm) return unchanged(alarms);
  const news = stands(alarm) && !stands(next) ? [{ event: 'ended', alarm: next } as const] : [];
  return { alarms: trimmed(alarms.map((it) => (it === alarm ? next : it))), news, leftOut: [] };
}

function settled(alarm: AlarmRecord, now: Date): AlarmRecord {
  return stands(alarm) && isOver(alarm) ? { ...alarm, ended: now.toISOString() } : alarm;
}

function isOver({ kind, holds, acknowledged }: AlarmRecord): boolean {
  const isAcknowledged = acknowledged !== undefined;
  switch (ENDS[kind]) {
    case 'gone':
      return !holds;
    case 'acknowledged':
      return isAcknowledged;
    case 'either':
      return !holds || isAcknowledged;
    case 'both':
      return !holds && isAcknowledged;
    default:
      return ENDS[kind] satisfies never;
  }
}

/** Removes the oldest ended alarms. One whose cause is still there stays: it must not be raised again. */
function trimmed(alarms: readonly AlarmRecord[]): readonly AlarmRecord[] {
  const over = alarms
    .filter((it) => !stands(it) && !it.holds)
    .sort((a, b) => (a.ended! < b.ended! ? -1 : 1));
  const dropped = new Set(over.slice(0, Math.max(0, over.length - OVER_MAX)));
  return dropped.size === 0 ? alarms : alarms.filter((it) => !dropped.has(it));
}

function shortened(message: string): string {
  return message.length > MESSAGE_MAX ? `${message.slice(0, MESSAGE_MAX - 4)} ...` : message;
}
