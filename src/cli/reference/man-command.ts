import type { Command } from '../base/command.ts';
import { allCommands, type Noun } from '../base/noun.ts';
import { manPage } from './man-page.ts';

export const manCommand = (nouns: readonly Noun[]): Command => ({
  summary: 'Print the manual page',
  about: ['Read it with man -l. appliance/install installs it for "man holdfast".'],
  args: [],
  options: [],
  examples: ['man >holdfast.1'],
  async run(_input, { output }) {
    const page = manPage(await allCommands(nouns));
    output.result({ page }, () => page.trimEnd());
  },
});
