import type { Command } from '../../base/command.ts';
import { keyUser, USER_DETAILS, USER_OPTION } from '../../options/key-options.ts';

export const command: Command = {
  usage: 'FINGERPRINT [--user restore]',
  details: ['FINGERPRINT as "ssh key list" shows it.', ...USER_DETAILS],
  options: USER_OPTION,
  takes: [1, 1],
  async run(input, { output, call }) {
    const request = { user: keyUser(input), fingerprint: input.args[0]! };
    const gone = await call('ssh-key/remove', request);
    output.result(gone, () => `${gone.user} does not come in with ${gone.fingerprint} any more.`);
  },
};
