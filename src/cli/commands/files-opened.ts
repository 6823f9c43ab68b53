import { openedFiles } from '../../control/open-files.ts';
import type { Command } from '../command.ts';
import { table } from '../output.ts';

export const command: Command = {
  usage: '',
  details: ['What "files open" has open on this host; "left" is what a killed process left there.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output }) {
    const all = await openedFiles();
    output.result({ opened: all }, () =>
      table(
        ['ID', 'POINT', 'AT', 'SINCE', 'STATE'],
        all.map(({ id, point, at, opened, state }) => [id, point, at, opened, state]),
      ),
    );
  },
};
