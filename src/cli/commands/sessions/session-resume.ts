import type { Command } from '../../base/command.ts';
import { readyText } from '../../../client/ready-text.ts';

export const command: Command = {
  usage: 'SESSION',
  details: [
    'Serves it at the same place as before. "recover --resume" can name another, and waits.',
  ],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const place = { listen: undefined, tls: undefined, nfs: undefined };
    const ready = await call('session/resume', { session: args[0]!, ...place });
    const serving = `The service runs it; "holdfast session stop ${ready.session}" ends it.`;
    output.result(ready, () => readyText(ready, serving));
  },
};
