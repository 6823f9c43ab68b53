import { closeFiles } from '../../../engine/files/open-files.ts';
import type { Command } from '../../base/command.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage: 'ID | --all',
  details: [
    'Unmounts the volumes, even if files in them are open, and what a killed process left.',
  ],
  options: { all: { type: 'boolean' } },
  takes: [0, 1],
  async run(input, { output, service, call }) {
    const [id] = input.args;
    if ((id === undefined) !== input.flag('all')) throw new UsageError('close what? ID, or --all');
    const isServed = (await service()) !== undefined;
    const closed = isServed ? (await call('files/close', { id })).closed : await closeFiles(id);
    output.result({ closed }, () =>
      closed.length > 0 ? `Closed ${closed.join(', ')}` : 'Nothing was open',
    );
  },
};
