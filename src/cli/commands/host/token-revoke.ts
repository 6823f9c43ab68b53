import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: 'TOKEN',
  details: ['In force at once: requests that use the token are ended too.'],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const revoked = await call('token/revoke', { token: args[0]! });
    output.result(revoked, () => `Token "${revoked.token}" is revoked.`);
  },
};
