import { keep } from '../../control/sessions.ts';
import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: [
    "Makes what the session's disks hold a new recovery point and ends the session. Only what was written",
    'is read and stored.',
  ],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, house, secrets, signal }) {
    const kept = await keep(await house(), args[0]!, { secrets, signal, report: output.report });
    output.result(kept, () => `Session ${kept.session} is kept as recovery point ${kept.point}`);
  },
};
