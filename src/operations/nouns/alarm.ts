import {
  field,
  flag,
  list,
  nullable,
  type Of,
  object,
  oneOf,
  withDefault,
} from '../../lib/schema.ts';
import { count, MANY, nothing, prose, time, timeOrNull, word } from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';

const alarm = field(word, 'ID of the alarm: its kind, and after a colon its subject', {
  placeholder: 'ALARM',
});

/** A problem that needs, or needed, a person. */
const alarmSummary = object({
  alarm,
  kind: field(word, 'what it is'),
  level: field(oneOf('warning', 'critical'), 'its severity'),
  about: field(nullable(word), 'the schedule, job or session concerned; null: none'),
  message: field(prose, 'what is wrong, and what to do'),
  times: field(count, 'how often it has happened since it was raised'),
  raised: time('when it was raised'),
  changed: time('when it changed last'),
  acknowledged: field(
    nullable(object({ time: time('when'), uid: field(count, 'user ID') })),
    'who acknowledged it; null: no user did',
  ),
  ended: timeOrNull('when it ended; null: it is open'),
});
export type AlarmSummary = Of<typeof alarmSummary>;

const list_ = query('alarm/list', {
  summary: 'List alarms',
  description: 'The alarm that changed last comes first.',
  runs: 'service',
  request: object({ all: field(withDefault(flag(), false), 'include alarms that have ended') }),
  result: object({ alarms: field(list(alarmSummary, MANY), 'alarms') }),
  cli: { examples: ['alarm list', 'alarm list --all'] },
});

const acknowledge = mutation('alarm/acknowledge', {
  summary: 'Acknowledge an alarm',
  runs: 'service',
  changes: ['alarm'],
  request: object({ alarm }),
  result: alarmSummary,
});

const test = mutation('notify/test', {
  summary: 'Send a test notification through every channel',
  description: 'The settings of the service name the channels: a webhook, and mail.',
  runs: 'service',
  changes: [],
  request: nothing,
  result: object({
    channels: field(
      list(
        object({
          channel: field(word, 'webhook or mail'),
          delivered: field(flag(), 'whether it was accepted'),
          reason: field(nullable(prose), 'why it was not accepted; null: it was'),
        }),
        MANY,
      ),
      'the channels that the settings name',
    ),
  }),
  cli: { notes: 'Exit code 1 if a notification was not delivered.', examples: ['notify test'] },
});

/** The time by which locks of recovery points end. */
const clock = object({
  clock: time('what the clock of the host says'),
  trusted: field(
    nullable(time('trusted time')),
    'trusted time, by which locks end, ISO 8601 in UTC; null: it is not known, and no lock ends',
  ),
  behindMs: field(
    nullable(count),
    'milliseconds by which trusted time is behind the clock; null: it is not known',
  ),
  uncountedMs: field(
    nullable(count),
    'milliseconds for which the host was off, by its clock, of which nothing counts; null: it is not known',
  ),
  confirmedBy: field(
    nullable(count),
    'ID of the user who has confirmed the clock, while a second one is awaited; null: no user has',
  ),
  replaced: field(
    nullable(count),
    'ID of the user whose confirmation this one replaces, because the clock was set in between; null: none',
  ),
});

const showClock = query('clock/show', {
  summary: 'Show the time by which locks end',
  description:
    'Trusted time passes while the host runs, and does not jump with its clock. While the host is off, at most 7 ' +
    'days in any 30 are counted; locks end later by the rest.',
  runs: 'service',
  request: nothing,
  result: clock,
  cli: { examples: ['clock show'] },
});

const confirmClock = mutation('clock/confirm', {
  summary: 'Confirm that the clock of the host is right',
  description:
    'Once two different users have confirmed it within an hour, trusted time is set to the clock, and locks whose ' +
    'date has passed end at once. That cannot be undone: first compare the clock with one that you trust. If the ' +
    'clock was set in between, only the later confirmation counts. It cannot be confirmed while the alarm ' +
    '"clock-jump" is raised.',
  runs: 'service',
  changes: ['clock', 'alarm'],
  remote: { denied: 'two users have to confirm the clock, and a token is not a user' },
  request: nothing,
  result: clock,
  cli: { examples: ['clock confirm'] },
});

export const operations = [list_, acknowledge, test, showClock, confirmClock] as const;
