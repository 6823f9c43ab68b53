import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  summary: 'List the keys that may log in',
  about: [],
  args: [],
  options: [],
  examples: ['ssh key list'],
  async run(_input, { output, call }) {
    const { keys } = await call('ssh/show', {});
    output.result({ keys }, () =>
      table(
        ['USER', 'FINGERPRINT', 'KIND', 'COMMENT'],
        keys.map(({ user, fingerprint, type, comment }) => [user, fingerprint, type, comment]),
      ),
    );
  },
};
