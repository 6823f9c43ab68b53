import type { ResultOf } from '../../operations/operations.ts';
import { fact, table } from '../base/output.ts';
import { CheckFailed } from '../base/command-errors.ts';
import type { Renders } from './render.ts';

export const render = {
  'clock/show': clockText,
  'clock/confirm': clockText,
  'alarm/list': ({ alarms }) =>
    table(
      ['ALARM', 'LEVEL', 'SINCE', 'STATE', ''],
      alarms.map(({ alarm, level, raised, ended, acknowledged, message }) => [
        alarm,
        level,
        raised,
        ended !== null ? 'over' : acknowledged ? `acknowledged by ${acknowledged.uid}` : 'open',
        message,
      ]),
    ),
  'notify/test': {
    text: ({ channels }) =>
      table(
        ['CHANNEL', ''],
        channels.map(({ channel, reason }) => [channel, reason ?? 'notified']),
      ),
    failure({ channels }) {
      if (channels.length === 0)
        return new CheckFailed(
          'no channel is configured: see "notify" in the settings of the service',
        );
      const failed = channels.find(({ delivered }) => !delivered);
      return failed && new CheckFailed(`${failed.channel}: ${failed.reason}`);
    },
  },
} satisfies Renders;

const HOUR_MS = 60 * 60_000;

function clockText(shown: ResultOf<'clock/show'>): string {
  const { clock, trusted, behindMs, uncountedMs, confirmedBy, replaced } = shown;
  const hours = (ms: number | null): string => `${((ms ?? 0) / HOUR_MS).toFixed(1)} h`;
  return [
    fact('clock', clock),
    fact('trusted time', trusted ?? 'NOT KNOWN: no lock ends, see the alarm "trusted-time"'),
    ...(behindMs === null ? [] : [fact('behind', hours(behindMs))]),
    ...(uncountedMs ? [fact('not counted', `${hours(uncountedMs)} while the host was off`)] : []),
    ...(confirmedBy === null
      ? []
      : [
          fact(
            'CONFIRMED',
            `by user ${confirmedBy}: another user has to confirm it within an hour`,
          ),
        ]),
    ...(replaced === null
      ? []
      : [
          fact(
            'REPLACED',
            `the confirmation by user ${replaced}: the clock was set after it, by a minute or more`,
          ),
        ]),
  ].join('\n');
}
