import { argument, option } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';
import { findSecret, newPassphrase } from '../../base/secrets.ts';

export const command: Command = {
  summary: 'Add a passphrase to a set',
  about: [
    'From then on each of its passphrases opens the set. Asks for a present one (or takes --passphrase-file, ' +
      '--passphrase-fd, --recovery-key-file) and then twice for the new one.',
  ],
  args: [argument('SET', 'name of the set', { names: ['sets'] })],
  options: [option('new-passphrase-file', 'FILE', 'a file whose first line is the new passphrase')],
  examples: ['set add-passphrase nightly'],
  async run(input, { call, output, secretOptions }) {
    const set = input.args[0]!;
    const given = findSecret(set, secretOptions);
    const added = Buffer.from(newPassphrase(secretOptions)).toString('base64');
    const done = await call('set/add-passphrase', { set, newPassphrase: added }, { given });
    output.result(done, () => `Passphrase ${done.added} opens set "${set}", too.`);
  },
};
