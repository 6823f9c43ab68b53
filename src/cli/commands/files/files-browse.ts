import { argument } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';
import { entryLine } from '../../render/file-lines.ts';

const PAGE = 500;

export const command: Command = {
  summary: 'List a directory of an open volume',
  about: ['The service must have the volume open: see "files open". Times are in UTC.'],
  args: [
    argument('ID', 'ID of the open volumes, as "files opened" shows it'),
    argument('VOLUME', 'name of the volume'),
    argument('PATH', 'a directory in the volume; default: the root', {
      isRequired: false,
      files: false,
    }),
  ],
  options: [],
  examples: ['files browse 3f9c2a vda1 /etc'],
  async run(input, { output, call }) {
    const [id, volume, path = '/'] = input.args as [string, string, string | undefined];
    for (let first = 0; ; ) {
      const page = await call('files/browse', { id, volume, path, first, count: PAGE });
      for (const { target, ...entry } of page.entries) {
        const shown = {
          event: 'entry',
          volume,
          ...entry,
          ...(target !== null && { target }),
        } as const;
        await output.part(shown, () => entryLine(shown));
      }
      first += page.entries.length;
      if (first < page.total && page.entries.length > 0) continue;
      if (page.refused !== null) output.report({ event: 'notice', message: page.refused });
      return;
    }
  },
};
