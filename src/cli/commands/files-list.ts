import { visitDisk } from '../../control/files.ts';
import type { Command } from '../command.ts';
import { entryLine, volumesTable } from '../file-lines.ts';
import { VOLUME_HELP, VOLUME_OPTIONS, volumeOptions } from '../volume-options.ts';

export const command: Command = {
  usage: 'POINT|SESSION DISK [PATH] [--volume NAME]',
  details: [
    'PATH                   a directory or a file; without it the volumes of the disk are listed',
    '--volume NAME          where several have the path',
    ...VOLUME_HELP,
  ],
  options: { volume: { type: 'string' }, ...VOLUME_OPTIONS },
  takes: [2, 3],
  async run(input, { output, house, secrets, signal }) {
    const [what, disk, path] = input.args as [string, string, string | undefined];
    const volume = input.text('volume');
    const request = { what, disk, volume, ...volumeOptions(input) };
    const options = { secrets, signal, report: output.report };
    await using visited = await visitDisk(await house(), request, options);
    if (path === undefined && volume === undefined) {
      output.result({ volumes: visited.volumes }, () => volumesTable(visited.volumes));
      return;
    }
    for await (const entry of visited.list(path ?? '/')) {
      await output.part(entry, () => entryLine(entry));
    }
  },
};
