import { exportKey } from '../../control/set-keys.ts';
import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'SET',
  details: [
    'Prints the key of an encrypted set, to be kept on paper. Whoever has it needs no passphrase: keep it away from',
    'the store, and from everybody who may not read the set. "set import-key" makes the record of the set again',
    'from it, where both copies of that are lost or nobody knows the passphrase. It is done here, never by a service.',
  ],
  options: {},
  takes: [1, 1],
  async run({ args }, { house, secrets, output }) {
    const { set, key } = await exportKey(await house(), args[0]!, secrets);
    const groups = key.split('-');
    const lines = [0, 1, 2, 3].map((at) => groups.slice(at * 6, at * 6 + 6).join('-'));
    output.result({ set, key }, () =>
      [
        `The key of backup set "${set}":`,
        '',
        ...lines.map((line) => `  ${line}`),
        '',
        'Keep it on paper, away from the store: whoever has it can read the set.',
      ].join('\n'),
    );
  },
};
