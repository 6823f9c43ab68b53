import type { Command } from '../../base/command.ts';
import {
  pendingText,
  WITHIN_DETAILS,
  WITHIN_OPTION,
  within,
} from '../../options/network-options.ts';

export const command: Command = {
  usage: 'INTERFACE',
  details: [
    'VLANs and bonds are removed; Holdfast no longer sets up other interfaces.',
    ...WITHIN_DETAILS,
  ],
  options: WITHIN_OPTION,
  takes: [1, 1],
  async run(input, { output, call }) {
    const pending = await call('network/remove', { name: input.args[0]!, seconds: within(input) });
    output.result(pending, () => pendingText(pending));
  },
};
