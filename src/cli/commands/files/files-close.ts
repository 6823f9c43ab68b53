import { argument, flag } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  summary: 'Unmount open volumes',
  about: ['Also unmounts volumes with open files, and those of killed processes.'],
  args: [
    argument('ID', 'ID of the open volumes, as "files opened" shows it', { isRequired: false }),
  ],
  options: [flag('all', 'close all open volumes')],
  examples: ['files close 3f9c2a', 'files close --all'],
  async run(input, { output, service, call }) {
    const { closeFiles } = await import('../../../engine/files/open-files.ts');
    const [id] = input.args;
    if ((id === undefined) !== input.flag('all')) throw new UsageError('close what? ID, or --all');
    const isServed = (await service()) !== undefined;
    const closed = isServed ? (await call('files/close', { id })).closed : await closeFiles(id);
    output.result({ closed }, () =>
      closed.length > 0 ? `Closed ${closed.join(', ')}` : 'Nothing was open',
    );
  },
};
