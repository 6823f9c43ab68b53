import { visitDisk, volumesOf } from '../../../engine/files/files.ts';
import type { FileEntry } from '../../../operations/results.ts';
import type { Command } from '../../base/command.ts';
import { entryLine, volumesTable } from '../../text/file-lines.ts';
import { VOLUME_HELP, VOLUME_OPTIONS, volumeOptions } from '../../options/volume-options.ts';

export const command: Command = {
  usage: 'POINT|SESSION DISK [PATH] [--volume NAME]',
  details: [
    'PATH                   a directory or a file; without it the volumes of the disk are listed',
    '--volume NAME          where several have the path',
    ...VOLUME_HELP,
    'Times are in UTC.',
  ],
  options: { volume: { type: 'string' }, ...VOLUME_OPTIONS },
  takes: [2, 3],
  async run(input, { output, house, secrets, signal }) {
    const [what, disk, path] = input.args as [string, string, string | undefined];
    const volume = input.text('volume');
    const request = { what, disk, volume, ...volumeOptions(input) };
    const options = { secrets, signal, report: output.report };
    if (path === undefined && volume === undefined) {
      const volumes = await volumesOf(await house(), request, options);
      output.result({ volumes }, () => volumesTable(volumes));
      return;
    }
    await using visited = await visitDisk(await house(), request, options);
    for await (const entry of sorted(visited.list(path ?? '/'))) {
      await output.part(entry, () => entryLine(entry));
    }
  },
};

/** As people expect a directory; one with more than this comes in its own order, for memory has an end. */
const SORTED_MAX = 20_000;

async function* sorted(entries: AsyncIterable<FileEntry>): AsyncGenerator<FileEntry> {
  const kept: FileEntry[] = [];
  let isTooLong = false;
  for await (const entry of entries) {
    if (isTooLong) yield entry;
    else kept.push(entry);
    if (kept.length <= SORTED_MAX) continue;
    isTooLong = true;
    yield* kept.splice(0);
  }
  yield* kept.sort((a, b) => (a.path < b.path ? -1 : 1));
}
