import type { ResultOf } from '../../../operations/operations.ts';
import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '[--yes]',
  details: [
    'Shows which features of new stores this store lacks. A store is never upgraded automatically.',
    '--yes          upgrades it: earlier releases can no longer use it then. The keys of its encrypted sets are',
    '               needed, and sessions have to be stopped. May be interrupted, and repeated.',
  ],
  options: { yes: { type: 'boolean' } },
  takes: [0, 0],
  async run(input, { output, call }) {
    const done = await call('store/upgrade', { confirmed: input.flag('yes') });
    output.result(done, () => text(done));
  },
};

function text({ store, features, upgraded }: ResultOf<'store/upgrade'>): string {
  if (features.length === 0) return `${store} has all that new stores of this release have.`;
  return [
    upgraded ? `${store} is upgraded. It has now:` : `${store} lacks what new stores have:`,
    ...features.map(({ feature, changes }) => `  ${feature}: ${changes}`),
    ...(upgraded
      ? []
      : ['With --yes it is upgraded. Earlier releases of Holdfast cannot use the store then.']),
  ].join('\n');
}
