import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '--confirm HOSTNAME',
  details: [
    "Network (DHCP), name, time, SSH and its keys, the administrator's password: as they came. Where the service",
    'listens for other hosts, tokens are revoked. If one part cannot be reset, the others are. Never: the store, its',
    'disk, the settings of the service, or passphrases that it has. HOSTNAME is the name of this machine, typed out.',
  ],
  options: { confirm: { type: 'string' } },
  takes: [0, 0],
  async run(input, { output, call }) {
    const done = await call('host/factory-reset', { confirm: input.required('confirm') });
    output.result(done, () =>
      [`As it came: ${done.reset.join(', ')}.`, ...done.failed.map((it) => `Not done: ${it}`)].join(
        '\n',
      ),
    );
  },
};
