import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage: '[--last N]',
  details: ['Who changed what through the service: the newest last; default: 100 entries.'],
  options: { last: { type: 'string' } },
  takes: [0, 0],
  async run(input, { output, call }) {
    const last = Number(input.text('last') ?? 100);
    if (!Number.isInteger(last) || last < 1) throw new UsageError('--last: a number');
    const shown = await call('audit/show', { last });
    output.result(shown, () =>
      table(
        ['TIME', 'WHO', 'FROM', 'WHAT', '', ''],
        shown.entries.map(({ time, uid, pid, token, address, what, outcome, request, reason }) => [
          time,
          token === null ? `user ${uid ?? '-'}` : `token ${token}`,
          address ?? (pid === null ? '-' : `process ${pid}`),
          what,
          outcome,
          reason ?? (request === null ? '' : JSON.stringify(request)),
        ]),
      ),
    );
  },
};
