import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';
import { CheckFailed } from '../../base/command-errors.ts';

export const command: Command = {
  usage: '',
  details: ['Sends a message to the webhook and by mail, as the settings of the service say.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const tested = await call('notify/test', {});
    output.result(tested, () =>
      table(
        ['CHANNEL', ''],
        tested.channels.map(({ channel, reason }) => [channel, reason ?? 'notified']),
      ),
    );
    if (tested.channels.length === 0)
      throw new CheckFailed('no channel is set up: see "notify" in the settings of the service');
    const failed = tested.channels.find(({ delivered }) => !delivered);
    if (failed) throw new CheckFailed(`${failed.channel}: ${failed.reason}`);
  },
};
