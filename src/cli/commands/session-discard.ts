import { discard } from '../../control/sessions.ts';
import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: ['The recovery point stays as it is.'],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, house }) {
    const session = args[0]!;
    await discard(await house(), session);
    output.result({ session, discarded: true }, () => `Session ${session} is discarded.`);
  },
};
