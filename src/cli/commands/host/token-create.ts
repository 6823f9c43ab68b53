import type { Command } from '../../base/command.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage: 'NAME --may look|manage [--files] [--expires DAYS]',
  details: [
    'For requests from other hosts, if the settings have "listen". The token is shown once, here: put it into a',
    'file that only its user may read, for holdfast --server URL --token-file FILE.',
    '--may look       as the group holdfast-view',
    '--may manage     as the group holdfast, except for tokens, and without naming files of this machine:',
    "--files          may do that too, which is as good as being the service's own user",
    '--expires DAYS   valid for so many days',
  ],
  options: {
    may: { type: 'string' },
    files: { type: 'boolean' },
    expires: { type: 'string' },
  },
  takes: [1, 1],
  async run(input, { output, call }) {
    const may = input.required('may');
    if (may !== 'look' && may !== 'manage') throw new UsageError('--may look, or --may manage');
    const days = input.text('expires');
    if (days !== undefined && !/^[1-9]\d{0,3}$/.test(days)) throw new UsageError('--expires DAYS');
    const made = await call('token/create', {
      ...{ token: input.args[0]!, may, files: input.flag('files') },
      expiresDays: days === undefined ? undefined : Number(days),
    });
    const until = made.expires === null ? 'until it is revoked' : `until ${made.expires}`;
    output.result(made, () => made.secret);
    output.say(`Token "${made.token}" holds ${until}. It is not shown again.`);
  },
};
