import type { CheckResult } from '../../protocol/results.ts';
import { formatSize } from '../../lib/sizes.ts';
import { type Command, DamageFound } from '../command.ts';

export const command: Command = {
  usage: '[--read-data]',
  details: [
    'Checks headers and footers of all packs, all records, and all manifests of the sets whose key',
    'is given (without it, or with one that does not fit, a set is told of as locked).',
    '--read-data     reads and checks every block as well',
    'Exit code 6 if anything is damaged.',
  ],
  options: { 'read-data': { type: 'boolean' } },
  takes: [0, 0],
  async run(input, { output, call }) {
    const result = await call(
      'store/check',
      { readData: input.flag('read-data') },
      { ask: 'never' },
    );
    output.result(result, () => text(result));
    if (result.problems.length > 0) {
      throw new DamageFound(`${result.problems.length} problems: see above`);
    }
  },
};

function text({ packs, frames, bytes, points, locked, problems }: CheckResult): string {
  const size = formatSize(bytes);
  return [
    `${packs} packs with ${frames} blocks and nodes, ${size}; ${points} recovery points`,
    ...locked.map((set) => `set "${set}" is locked: give its key to check its manifests`),
    ...problems.map(({ where, what }) => `DAMAGED ${where}: ${what}`),
    ...(problems.length === 0 ? ['No damage found.'] : []),
  ].join('\n');
}
