import { argument, chosen, option } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';
import { readSecretFrom } from '../../../sys/terminal/terminal.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  summary: 'Allow a public key to log in',
  about: ['Give either KEY or --file.'],
  args: [
    argument('KEY', "a public key as one argument: 'ssh-ed25519 AAAA... name'", {
      isRequired: false,
    }),
  ],
  options: [
    option('file', 'FILE', 'such as id_ed25519.pub; - is standard input'),
    option('user', 'admin|restore', 'admin: the console (the default); restore: SFTP', {
      words: ['admin', 'restore'],
    }),
  ],
  examples: ['ssh key add --file id_ed25519.pub'],
  async run(input, { output, call }) {
    const file = input.text('file');
    const [given] = input.args;
    if ((file === undefined) === (given === undefined))
      throw new UsageError('give KEY, or --file FILE');
    const key = given ?? Buffer.from(readSecretFrom(file === '-' ? 0 : file!)).toString('utf8');
    const added = await call('ssh-key/add', {
      user: chosen(input.text('user'), 'user', ['admin', 'restore']),
      key: key.trim(),
    });
    output.result(
      added,
      () => `${added.user} can log in with ${added.fingerprint} (${added.type}).`,
    );
  },
};
