import { argument, option } from '../../base/rows.ts';
import type { FileEntry } from '../../../operations/events.ts';
import type { Command } from '../../base/command.ts';
import { entryLine, volumesTable } from '../../render/file-lines.ts';
import { VOLUME_OPTIONS, volumeOptions } from '../../options/volume-options.ts';

export const command: Command = {
  summary: "List files in a recovery point's disk",
  about: ['Times are in UTC.'],
  args: [
    argument('POINT|SESSION', 'the recovery point or session', { names: ['points', 'sessions'] }),
    argument('DISK', 'name of the disk', { names: ['disks'] }),
    argument('PATH', 'a directory or a file; default: list the volumes of the disk', {
      ...{ isRequired: false, files: false },
    }),
  ],
  options: [
    option('volume', 'NAME', 'the volume to list, if several have the path'),
    ...VOLUME_OPTIONS,
  ],
  examples: ['files list web1@latest vda', 'files list web1@latest vda /etc'],
  async run(input, { output, engine, secrets, signal }) {
    const { visitDisk, volumesOf } = await import('../../../engine/files/files.ts');
    const [what, disk, path] = input.args as [string, string, string | undefined];
    const volume = input.text('volume');
    const request = { what, disk, volume, ...volumeOptions(input) };
    const options = { secrets, signal, report: output.report };
    if (path === undefined && volume === undefined) {
      const volumes = await volumesOf(await engine(), request, options);
      output.result({ volumes }, () => volumesTable(volumes));
      return;
    }
    await using visited = await visitDisk(await engine(), request, options);
    for await (const entry of sorted(visited.list(path ?? '/'))) {
      await output.part(entry, () => entryLine(entry));
    }
  },
};

/** Directories are sorted, as people expect; larger ones stay in their own order, because memory is limited. */
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
