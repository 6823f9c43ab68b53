import { argument, flag, option } from '../../base/rows.ts';
import { resolve } from 'node:path/posix';
import type { Command, Input } from '../../base/command.ts';
import { copiedText } from '../../render/file-lines.ts';
import { VOLUME_OPTIONS, volumeOptions } from '../../options/volume-options.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  summary: "Copy files out of a recovery point's disk",
  about: [
    'Names, times, owners, holes, hard links and attributes are preserved. Existing files are not copied ' +
      'again: after an interruption, repeat the command, and it continues.',
  ],
  args: [
    argument('POINT|SESSION', 'the recovery point or session', { names: ['points', 'sessions'] }),
    argument('DISK', 'name of the disk', { names: ['disks'] }),
    argument('PATH', 'a file or a directory', { kind: 'list', files: false }),
  ],
  options: [
    option(
      'to',
      'DIRECTORY|FILE|-',
      'a directory, created if necessary; for a single file also a new name; - is standard output',
      {
        isRequired: true,
      },
    ),
    flag(
      'overwrite',
      'replace files that differ; without it nothing is copied if one would be replaced',
    ),
    flag('tar', 'one archive, to standard output'),
    flag('zip', 'one archive, to standard output'),
    option('volume', 'NAME', 'the volume to copy from, if several have the paths'),
    ...VOLUME_OPTIONS,
  ],
  examples: [
    'files get web1@latest vda /etc /var/www --to /srv/web1',
    'files get web1@latest vda /etc --to - --tar >etc.tar',
  ],
  async run(input, { output, engine, secrets, signal }) {
    const { visitDisk } = await import('../../../engine/files/files.ts');
    const [what, disk, ...paths] = input.args as [string, string, ...string[]];
    const { to, format } = destinationOf(input);
    const request = { what, disk, volume: input.text('volume'), ...volumeOptions(input) };
    const options = { secrets, signal, report: output.report };
    await using visited = await visitDisk(await engine(), request, options);
    if (format !== undefined) {
      for await (const part of await visited.stream(paths, format)) await output.bytes(part);
      return;
    }
    const done = await visited.copy(paths, to, input.flag('overwrite'));
    output.result(done, () => copiedText(done));
  },
};

function destinationOf(input: Input) {
  const to = input.required('to');
  const [tar, zip] = [input.flag('tar'), input.flag('zip')];
  if (tar && zip) throw new UsageError('--tar or --zip');
  if ((tar || zip) && to !== '-') {
    throw new UsageError("an archive goes to standard output: --to -, and '> FILE' behind it");
  }
  if (to === '-') return { to, format: tar ? 'tar' : zip ? 'zip' : 'plain' } as const;
  // A path that ends in a slash is a directory, even if it does not exist yet.
  return { to: `${resolve(to)}${to.endsWith('/') ? '/' : ''}`, format: undefined };
}
