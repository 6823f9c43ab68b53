import { argument } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';

export const command: Command = {
  summary: 'Print the key of a set, to keep on paper',
  about: [
    'The key opens the set without a passphrase: keep it away from the store, and from people who may not' +
      ' read the set. If both copies of the record of the set are lost, or the passphrase is forgotten, ' +
      '"set import-key" recreates the record from the key. Only this command prints the key, never a ' +
      'service.',
  ],
  args: [argument('SET', 'name of the set', { names: ['sets'] })],
  options: [],
  examples: ['set export-key nightly'],
  async run({ args }, { engine, secrets, output }) {
    const { exportKey } = await import('../../../engine/points/set-keys.ts');
    const { set, key } = await exportKey(await engine(), args[0]!, secrets);
    const groups = key.split('-');
    const lines = [0, 1, 2, 3].map((at) => groups.slice(at * 6, at * 6 + 6).join('-'));
    output.result({ set, key }, () =>
      [
        `The key of backup set "${set}":`,
        '',
        ...lines.map((line) => `  ${line}`),
        '',
        'Keep it on paper, away from the store: the set can be read with this key alone.',
      ].join('\n'),
    );
  },
};
