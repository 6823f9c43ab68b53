import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
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
