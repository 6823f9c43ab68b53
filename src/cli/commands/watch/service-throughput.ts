import { formatSize } from '../../../lib/sizes.ts';
import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage: '[--points N]',
  details: [
    'Bytes a second: now, and in the last hour in N parts (default: 60, at most 720), the oldest',
    'first. Nothing from before the service was started is known.',
  ],
  options: { points: { type: 'string' } },
  takes: [0, 0],
  async run(input, { output, call }) {
    const points = Number(input.text('points') ?? 60);
    if (!Number.isInteger(points) || points < 1 || points > 720) {
      throw new UsageError('--points: a number from 1 to 720');
    }
    const shown = await call('service/throughput', { points });
    const last = shown.points.length;
    const row = (when: string, { readBytes, writtenBytes, ingestBytes }: typeof shown.now) => [
      ...[when, ...[readBytes, writtenBytes, ingestBytes].map((it) => `${formatSize(it)}/s`)],
    ];
    output.result(shown, () =>
      table(
        ['WHEN', 'GUESTS READ', 'GUESTS WRITE', 'BACKUPS READ'],
        [
          ...shown.points.map((it, at) => row(`${(last - at) * shown.seconds} s ago`, it)),
          row('now', shown.now),
        ],
      ),
    );
  },
};
