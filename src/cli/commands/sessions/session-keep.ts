import type { Command } from '../../base/command.ts';
import { QUEUE_DETAILS, QUEUE_OPTION, queueJob } from '../../options/queued-job.ts';

export const command: Command = {
  usage: 'SESSION [--queue]',
  details: [
    "Makes what the session's disks hold a new recovery point and ends the session. Only what was written",
    'is read and stored. If that fails, the session is as it was before. A session with damaged pages is refused',
    '(exit code 6) until its guest has written these pages again.',
    ...QUEUE_DETAILS,
  ],
  options: QUEUE_OPTION,
  takes: [1, 1],
  async run(input, context) {
    const { output, call } = context;
    const request = { session: input.args[0]! };
    if (input.flag('queue')) return queueJob({ kind: 'keep', request }, context);
    const kept = await call('session/keep', request);
    output.result(kept, () => `Session ${kept.session} is kept as recovery point ${kept.point}`);
  },
};
