import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  summary: 'List open volumes',
  about: [
    'Lists volumes that "files open" has open on this host; "left": the process that opened them was ' +
      'killed.',
  ],
  args: [],
  options: [],
  examples: ['files opened'],
  async run(_input, { output, service, call }) {
    const { openedFiles } = await import('../../../engine/files/open-files.ts');
    const isServed = (await service()) !== undefined;
    const opened = isServed ? (await call('files/opened', {})).opened : await openedFiles();
    output.result({ opened }, () =>
      table(
        ['ID', 'POINT', 'AT', 'SINCE', 'STATE'],
        opened.map(({ id, point, at, opened: since, state }) => [id, point, at, since, state]),
      ),
    );
  },
};
