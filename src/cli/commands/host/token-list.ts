import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  usage: '',
  details: [],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const listed = await call('token/list', {});
    output.result(listed, () =>
      table(
        ['TOKEN', 'MAY', 'FILES', 'CREATED', 'EXPIRES'],
        listed.tokens.map(({ token, may, files, created, expires, expired }) => [
          token,
          may,
          files ? 'yes' : 'no',
          created,
          expired ? `${expires} (over)` : (expires ?? 'never'),
        ]),
      ),
    );
  },
};
