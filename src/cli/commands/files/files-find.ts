import { argument, option } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';
import { entryLine } from '../../render/file-lines.ts';
import { VOLUME_OPTIONS, volumeOptions } from '../../options/volume-options.ts';

export const command: Command = {
  summary: "Find files in a recovery point's disk",
  about: ['Times are in UTC.'],
  args: [
    argument('POINT|SESSION', 'the recovery point or session', { names: ['points', 'sessions'] }),
    argument('DISK', 'name of the disk', { names: ['disks'] }),
    argument('PATH', 'where to begin; default: the root', { isRequired: false, files: false }),
  ],
  options: [
    option('name', 'GLOB', 'names that match; default: all'),
    option('volume', 'NAME', 'the volume to search, if several have the path'),
    ...VOLUME_OPTIONS,
  ],
  examples: ["files find web1@latest vda /home --name '*.docx'"],
  async run(input, { output, engine, secrets, signal }) {
    const { visitDisk } = await import('../../../engine/files/files.ts');
    const [what, disk, path = '/'] = input.args as [string, string, string | undefined];
    const request = { what, disk, volume: input.text('volume'), ...volumeOptions(input) };
    const options = { secrets, signal, report: output.report };
    await using visited = await visitDisk(await engine(), request, options);
    for await (const entry of visited.find(path, input.text('name'))) {
      await output.part(entry, () => entryLine(entry));
    }
  },
};
