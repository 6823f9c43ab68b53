import type { Command } from '../../base/command.ts';
import { entryLine } from '../../text/file-lines.ts';

const PAGE = 500;

export const command: Command = {
  usage: 'ID VOLUME [PATH]',
  details: [
    'Lists a directory of a volume that the service has open: see "files open". Times are in UTC.',
  ],
  options: {},
  takes: [2, 3],
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
