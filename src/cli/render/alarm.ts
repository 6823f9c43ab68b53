import { table } from '../base/output.ts';
import { CheckFailed } from '../base/command-errors.ts';
import type { Renders } from './render.ts';

export const render = {
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
