import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '[--passphrase-file FILE | --passphrase-fd N]',
  details: [
    'Of the user admin, at the screen of this machine: asked for twice, or the first line of FILE, or of a',
    'descriptor (0: standard input). At least 10 characters. Without one, no login by password is possible.',
  ],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const done = await call('host/password', {}, { ask: 'new' });
    output.result(done, () => "The administrator's password is set.");
  },
};
