import {
  integer,
  list,
  type Of,
  object,
  oneOf,
  optional,
  text,
  flag,
} from '../../../lib/schema.ts';
import { plainRecord } from '../base/plain-record.ts';

// Alarms, their notifications, and the lockdown. Grammar: alarm.md.

export const ALARM_KINDS = [
  'pool-space',
  'session-space',
  'session-waits',
  'session-left',
  'job-failed',
  'job-waits',
  'schedule-late',
  'settings',
  'not-served',
  'damage',
  'damaged-frames',
  'damaged-overlay',
  'clock-jump',
  'trusted-time',
  'audit-broken',
  'store-not-adopted',
  'store-adopted',
  'box-memory',
  'proof-failed',
  'proof-late',
  'notify-failing',
  'trouble',
] as const;
export type AlarmKind = (typeof ALARM_KINDS)[number];
export const ALARM_LEVELS = ['warning', 'critical'] as const;
export type AlarmLevel = (typeof ALARM_LEVELS)[number];

/** Each job, schedule and session may have one. */
export const ALARMS_MAX = 3000;
const MESSAGE_MAX = 4096;
const ID_MAX = 2 ** 32 - 1;
const COUNT_MAX = 1_000_000_000;

const time = text({ max: 64 });
const id = text({ max: 256 });
const milliseconds = integer(0, Number.MAX_SAFE_INTEGER);

const ALARM = object({
  id,
  kind: oneOf(...ALARM_KINDS),
  level: oneOf(...ALARM_LEVELS),
  /** The ID of the schedule, job, session or other thing that it is about. */
  about: optional(id),
  message: text({ max: MESSAGE_MAX, min: 0 }),
  /** The last occurrence: when it changes, people are notified again. */
  occurrence: optional(id),
  /** How often it has occurred since it was raised. */
  times: integer(1, COUNT_MAX),
  /** Whether its cause is still there. */
  holds: flag(),
  ...{ raised: time, changed: time, ended: optional(time) },
  acknowledged: optional(object({ time, uid: integer(0, ID_MAX) })),
});
export type AlarmRecord = Of<typeof ALARM>;

export const alarmsFile = plainRecord('holdfast-alarms', { alarms: list(ALARM, ALARMS_MAX + 1) });

/** Readings of the clocks. */
const READING = { bootId: id, wallMs: milliseconds, sinceBootMs: milliseconds };
/** `lastWallMs` is the newest time seen so far. */
export const clockFile = plainRecord('holdfast-clock', { ...READING, lastWallMs: milliseconds });
export type ClockMark = ReturnType<typeof clockFile.decode>;

const APPROVAL = object({ uid: integer(0, ID_MAX), time });
export const lockdownFile = plainRecord('holdfast-lockdown', {
  since: time,
  uid: integer(0, ID_MAX),
  /** How many people must approve its end. */
  persons: integer(1, 2),
  /** The approvals so far. */
  approvals: list(APPROVAL, 2),
});
export type LockdownRecord = ReturnType<typeof lockdownFile.decode>;

export const CHANNELS = ['webhook', 'mail'] as const;
export type Channel = (typeof CHANNELS)[number];
/** In the directory of the box: a directory for each channel. */
export const OUTBOX = 'outbox';

/** A message to be sent through one channel. */
export const messageFile = plainRecord('holdfast-message', {
  id,
  created: time,
  attempts: integer(0, COUNT_MAX),
  notBefore: optional(time),
  reason: optional(text({ max: MESSAGE_MAX, min: 0 })),
  notice: object({
    event: oneOf('raised', 'again', 'ended', 'test'),
    /** Name of the appliance. */
    host: id,
    alarm: id,
    kind: oneOf(...ALARM_KINDS, 'test'),
    level: oneOf(...ALARM_LEVELS),
    message: text({ max: MESSAGE_MAX, min: 0 }),
    time,
  }),
});
export type MessageRecord = ReturnType<typeof messageFile.decode>;
export type AlarmNotice = MessageRecord['notice'];
