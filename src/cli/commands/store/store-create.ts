import { argument } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';
import { requireHere } from '../../base/remote-options.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  summary: 'Create a store',
  about: [
    'Without DIR, the place is that of --store or HOLDFAST_STORE, or the one in the settings of the ' +
      'service.',
  ],
  args: [argument('DIR', 'a new or an empty directory', { isRequired: false })],
  options: [],
  examples: ['store create', 'store create /srv/holdfast'],
  async run({ args }, { output, storeDirectory, named, service, call }) {
    if (args[0] !== undefined) requireHere(named);
    const directory = args[0] ?? storeDirectory;
    const isServed = args[0] === undefined && (await service()) !== undefined;
    if (!isServed && directory === undefined) {
      throw new UsageError('where? Give DIR, or --store DIR');
    }
    const store = isServed
      ? await call('store/create', {})
      : await (await import('../../../engine/points/stores.ts')).makeStore(directory!);
    output.result(store, () => `Store ${store.store} created. Next: "set create NAME".`);
  },
};
