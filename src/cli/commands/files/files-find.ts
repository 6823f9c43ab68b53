import { visitDisk } from '../../../engine/files/files.ts';
import type { Command } from '../../base/command.ts';
import { entryLine } from '../../text/file-lines.ts';
import { VOLUME_HELP, VOLUME_OPTIONS, volumeOptions } from '../../options/volume-options.ts';

export const command: Command = {
  usage: 'POINT|SESSION DISK [PATH] [--name GLOB] [--volume NAME]',
  details: [
    'PATH                   where to begin; default: the top',
    "--name GLOB            names that match, such as '*.docx'; default: all",
    '--volume NAME          where several have the path',
    ...VOLUME_HELP,
    'Times are in UTC.',
  ],
  options: { name: { type: 'string' }, volume: { type: 'string' }, ...VOLUME_OPTIONS },
  takes: [2, 3],
  async run(input, { output, house, secrets, signal }) {
    const [what, disk, path = '/'] = input.args as [string, string, string | undefined];
    const request = { what, disk, volume: input.text('volume'), ...volumeOptions(input) };
    const options = { secrets, signal, report: output.report };
    await using visited = await visitDisk(await house(), request, options);
    for await (const entry of visited.find(path, input.text('name'))) {
      await output.part(entry, () => entryLine(entry));
    }
  },
};
