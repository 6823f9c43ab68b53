import { resolve } from 'node:path/posix';
import { visitDisk } from '../../../engine/files/files.ts';
import type { Command, Input } from '../../base/command.ts';
import { copiedText } from '../../text/file-lines.ts';
import { VOLUME_HELP, VOLUME_OPTIONS, volumeOptions } from '../../options/volume-options.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage:
    'POINT|SESSION DISK PATH... --to DIRECTORY|FILE|- [--overwrite] [--tar | --zip] [--volume NAME]',
  details: [
    '--to DIRECTORY         made if need be; names, times, owners, holes, hard links and attributes are kept.',
    '                       What is there already is not copied again: after an interruption run it again',
    "--to FILE              one file, under another name; '-' is standard output",
    '--overwrite            replaces files that are there and differ; without it nothing is copied then',
    '--tar, --zip           one archive, to standard output',
    '--volume NAME          where several have the paths',
    ...VOLUME_HELP,
  ],
  options: {
    to: { type: 'string' },
    overwrite: { type: 'boolean' },
    tar: { type: 'boolean' },
    zip: { type: 'boolean' },
    volume: { type: 'string' },
    ...VOLUME_OPTIONS,
  },
  takes: [3, 1000],
  async run(input, { output, house, secrets, signal }) {
    const [what, disk, ...paths] = input.args as [string, string, ...string[]];
    const { to, format } = destinationOf(input);
    const request = { what, disk, volume: input.text('volume'), ...volumeOptions(input) };
    const options = { secrets, signal, report: output.report };
    await using visited = await visitDisk(await house(), request, options);
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
  // What ends in a slash is a directory, also if it is not there yet.
  return { to: `${resolve(to)}${to.endsWith('/') ? '/' : ''}`, format: undefined };
}
