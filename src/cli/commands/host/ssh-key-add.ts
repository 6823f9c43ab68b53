import type { Command } from '../../base/command.ts';
import { keyUser, USER_DETAILS, USER_OPTION } from '../../options/key-options.ts';
import { readSecretFrom } from '../../../sys/terminal/terminal.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage: '(KEY | --file FILE) [--user restore]',
  details: [
    "KEY           a public key as one argument: 'ssh-ed25519 AAAA... name'",
    '--file FILE   such as id_ed25519.pub; - is standard input',
    ...USER_DETAILS,
  ],
  options: { file: { type: 'string' }, ...USER_OPTION },
  takes: [0, 1],
  async run(input, { output, call }) {
    const file = input.text('file');
    const [given] = input.args;
    if ((file === undefined) === (given === undefined)) throw new UsageError('KEY, or --file FILE');
    const key = given ?? Buffer.from(readSecretFrom(file === '-' ? 0 : file!)).toString('utf8');
    const added = await call('ssh-key/add', { user: keyUser(input), key: key.trim() });
    output.result(added, () => `${added.user} comes in with ${added.fingerprint} (${added.type}).`);
  },
};
