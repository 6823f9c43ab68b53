import type { Command } from '../base/command.ts';
import { COMMANDS } from './commands.ts';
import { manPage } from './man-page.ts';

export const command: Command = {
  usage: '',
  details: ['Prints it for man -l; appliance/install puts it where man finds it.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output }) {
    const page = await manPage(COMMANDS);
    output.result({ page }, () => page.trimEnd());
  },
};
