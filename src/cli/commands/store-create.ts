import { makeStore } from '../../control/stores.ts';
import { type Command, UsageError } from '../command.ts';

export const command: Command = {
  usage: '[DIR]',
  details: ['DIR is made, or must be empty; without it the store of --store or HOLDFAST_STORE is.'],
  options: {},
  takes: [0, 1],
  async run({ args }, { output, storeDirectory }) {
    const directory = args[0] ?? storeDirectory;
    if (directory === undefined) throw new UsageError('where? Give DIR, or --store DIR');
    const store = await makeStore(directory);
    output.result(store, () => `Store ${store.store} is made. Next: "set create NAME".`);
  },
};
