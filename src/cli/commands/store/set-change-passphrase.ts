import { argument, option } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';
import { findSecret, newPassphrase } from '../../base/secrets.ts';

export const command: Command = {
  summary: 'Change a passphrase of a set',
  about: [
    'Asks for the present passphrase (or takes --passphrase-file, --passphrase-fd) and then twice for the new one. ' +
      'If the present one is lost, give the recovery key: --recovery-key-file. The new passphrase is on the disk, ' +
      'and has opened the set, before the former one is removed.',
    'The key of the set itself does not change: a person who had the former passphrase, and a copy of the record of ' +
      'the set from before, can still open the recovery points.',
  ],
  args: [argument('SET', 'name of the set', { names: ['sets'] })],
  options: [
    option('new-passphrase-file', 'FILE', 'a file whose first line is the new passphrase'),
    option(
      'replaces',
      'ID',
      'the passphrase that is replaced, as "set show" lists it; default: the one that was given, or the only one',
    ),
  ],
  examples: [
    'set change-passphrase nightly',
    'set change-passphrase nightly --recovery-key-file key',
  ],
  async run(input, { call, output, secretOptions }) {
    const set = input.args[0]!;
    const given = findSecret(set, secretOptions);
    const added = Buffer.from(newPassphrase(secretOptions)).toString('base64');
    const request = { set, newPassphrase: added, replaces: input.text('replaces') };
    const done = await call('set/change-passphrase', request, { given });
    output.result(
      done,
      () => `The passphrase of set "${set}" is changed; the former one no longer opens it.`,
    );
    for (const note of done.notes) output.say(note);
  },
};
