import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '--reason TEXT',
  details: [
    'Sessions are flushed and go on at the next start. The reason is noted in the audit log.',
  ],
  options: { reason: { type: 'string' } },
  takes: [0, 0],
  async run(input, { output, call }) {
    const done = await call('host/poweroff', { reason: input.required('reason') });
    output.result(done, () => `The machine goes off: ${done.reason}`);
  },
};
