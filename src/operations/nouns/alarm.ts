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

export const operations = [list_, acknowledge, test] as const;
