import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '',
  details: [
    'For emergencies: all that Holdfast has set up is removed, VLANs and bonds too, and every wired interface asks',
    'for an address by DHCP. It need not be confirmed, and is not rolled back.',
  ],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const done = await call('network/reset', {});
    output.result(done, () => `DHCP is on for: ${done.interfaces.join(', ') || 'no interface'}.`);
  },
};
