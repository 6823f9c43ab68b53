import { argument, flag } from '../../base/rows.ts';
import type { ResultOf } from '../../../operations/operations.ts';
import type { Command } from '../../base/command.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  summary: 'Create a backup set',
  about: [],
  args: [argument('NAME', 'name of the set')],
  options: [
    flag(
      'encrypt',
      'the set can be read only with its passphrase or its recovery key, which is shown only this once: ' +
        'keep it away from the backups',
    ),
  ],
  examples: ['set create nightly --encrypt', 'set create scratch'],
  async run(input, { output, call, hasSecret }) {
    const encrypt = input.flag('encrypt');
    if (hasSecret && !encrypt) throw new UsageError('a passphrase without --encrypt?');
    const made = await call(
      'set/create',
      { set: input.args[0]!, encrypted: encrypt },
      { ask: encrypt ? 'new' : 'never' },
    );
    output.result(made, () => text(made));
  },
};

function text({ set, recoveryKey }: ResultOf<'set/create'>): string {
  if (recoveryKey === null) return `Backup set "${set}" created. It is not encrypted.`;
  return [
    `Backup set "${set}" created. Its recovery key, shown only this once:`,
    '',
    `  ${recoveryKey}`,
    '',
    'Write it down and keep it away from the store. If passphrase and key are both lost, nothing can be restored.',
  ].join('\n');
}
