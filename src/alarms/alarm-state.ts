import { createHash } from 'node:crypto';
import {
  type AlarmKind,
  type AlarmLevel,
  type AlarmRecord,
  ALARMS_MAX,
} from '../formats/store/service/alarm.ts';

/*
 * The life of alarms, as pure functions of their records. An alarm is raised once and stands until it ends: what ends
 * it depends on its kind.
 */

/** Something is wrong now. */
export interface Condition {
  readonly kind: AlarmKind;
  /** Of several of its kind: which. */
  readonly about?: string | undefined;
  readonly level: AlarmLevel;
  readonly message: string;
  /** Another one than before: it has happened again. */
  readonly occurrence?: string | undefined;
}

/** What there is to tell. */
export interface AlarmNews {
  readonly event: 'raised' | 'again' | 'ended' | 'acknowledged';
  readonly alarm: AlarmRecord;
}

export interface Step {
  readonly alarms: readonly AlarmRecord[];
  readonly news: readonly AlarmNews[];
  /** For which there is no room: new ones, and those that gave way to what matters more. */
  readonly leftOut: readonly AlarmRecord[];
}

/**
 * `gone`: its reason has gone. `acknowledged`: somebody has looked, for no machine can know. `either`. `both`: what was
 * wrong once is to be looked at, even though it is right again.
 */
const ENDS = {
  'pool-space': 'gone',
  'session-space': 'gone',
  'session-waits': 'gone',
  'schedule-late': 'gone',
  'job-waits': 'gone',
  settings: 'gone',
  'not-served': 'gone',
  damage: 'gone',
  'damaged-frames': 'gone',
  'damaged-overlay': 'both',
  'notify-failing': 'gone',
  'job-failed': 'either',
  'clock-jump': 'acknowledged',
  trouble: 'acknowledged',
  'audit-broken': 'both',
  'store-not-adopted': 'gone',
  'store-adopted': 'acknowledged',
  'box-memory': 'gone',
} as const satisfies Record<AlarmKind, 'gone' | 'acknowledged' | 'either' | 'both'>;

/** For people to look at. */
const OVER_MAX = 100;
/** Nobody looks through more; each is in the log as well. */
const TROUBLES_MAX = 100;
const MESSAGE_MAX = 4096;
/** What tells a trouble from others: what follows may be different each time. */
const TROUBLE_LENGTH = 200;
const TROUBLE_DIGITS = 8;

export function alarmId({ kind, about }: Pick<Condition, 'kind' | 'about'>): string {
  return about === undefined ? kind : `${kind}:${about}`;
}

/** What went wrong while the service did something else. Its ID is short: people type it to acknowledge the alarm. */
export function troubleOf(message: string): Condition {
  const digest = createHash('sha256').update(message.slice(0, TROUBLE_LENGTH)).digest('hex');
  return { kind: 'trouble', about: digest.slice(0, TROUBLE_DIGITS), level: 'warning', message };
}

/** Whether it is to be shown. */
export function stands({ ended }: AlarmRecord): boolean {
  return ended === undefined;
}

/** Something has happened, whatever there is of it already. */
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
 * What goes to make room for a new alarm; undefined: there is room. What is critical, and what there is one of at most
 * (`about` nothing), takes the place of a warning about one of many; else it is the new one itself.
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

/** Of some, at least one. */
function oldest(alarms: readonly AlarmRecord[]): AlarmRecord {
  return alarms.reduce((a, b) => (b.changed < a.changed ? b : a));
}

function newsOf(before: AlarmRecord | undefined, next: AlarmRecord): AlarmNews[] {
  if (!stands(next)) return [];
  if (!before || !stands(before)) return [{ event: 'raised', alarm: next }];
  return isWorse(before, next) ? [{ event: 'again', alarm: next }] : [];
}

/** Its reason is not there any more. */
export function gone(alarms: readonly AlarmRecord[], id: string, now: Date): Step {
  return changedOne(alarms, id, (alarm) =>
    alarm.holds ? settled({ ...alarm, holds: false }, now) : alarm,
  );
}

/** Of all alarms of these kinds: `conditions` are the reasons that there are. */
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

/** Undefined: there is none that stands. */
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

/** The same object where nothing is new. */
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

/** What somebody has looked at is another thing now. */
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

/** Of those that are over the oldest go. One whose reason is there stays: it must not be raised anew. */
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
