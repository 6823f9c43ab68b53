import { argument, option } from '../../base/rows.ts';
import { keyIn } from '../../base/secrets.ts';
import type { Command } from '../../base/command.ts';

export const command: Command = {
  summary: 'Recreate a lost record of a set from its key',
  about: [
    'Uses the key that "set export-key" printed. The set gets a new passphrase (asked for twice, or ' +
      '--passphrase-file, --passphrase-fd) and a new recovery key; the former ones no longer open it, unless a ' +
      'recovery point is locked.',
  ],
  args: [argument('SET', 'name of the set', { names: ['sets'] })],
  options: [
    option(
      'key-file',
      'FILE',
      'the key, as it was printed or typed from paper; case, spaces and lines do not matter',
      {
        isRequired: true,
      },
    ),
  ],
  examples: ['set import-key nightly --key-file nightly.key'],
  async run(input, { output, call }) {
    const key = keyIn(input.required('key-file'));
    const made = await call('set/import-key', { set: input.args[0]!, key }, { ask: 'new' });
    output.result(made, () =>
      [
        `Backup set "${made.set}" has its key again. Its new recovery key, shown only this once:`,
        '',
        `  ${made.recoveryKey}`,
        '',
        `Write it down and keep it away from the store. ${made.kept ? KEPT : VOID}`,
      ].join('\n'),
    );
  },
};

const VOID = 'The former passphrase and recovery key are void.';
const KEPT =
  'The former passphrase and recovery key still open the set, because a recovery point of it is locked.';
