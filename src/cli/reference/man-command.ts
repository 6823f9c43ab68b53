import type { Command, CommandEntry } from '../base/command.ts';
import { manPage } from './man-page.ts';

export const manCommand = (commands: readonly CommandEntry[]): Command => ({
  usage: '',
  details: ['Prints it for man -l; appliance/install puts it where man finds it.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output }) {
    const page = await manPage(commands);
    output.result({ page }, () => page.trimEnd());
  },
});
