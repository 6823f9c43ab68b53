import { openFiles } from '../../control/open-files.ts';
import type { ReadyFiles } from '../../protocol/results.ts';
import type { Command } from '../command.ts';
import { volumesTable } from '../file-lines.ts';
import { interruptedOr } from '../interrupted.ts';
import { VOLUME_HELP, VOLUME_OPTIONS, volumeOptions } from '../volume-options.ts';

export const command: Command = {
  usage: 'POINT|SESSION [DISK] [--at DIRECTORY]',
  details: [
    'Mounts every volume read-only, for the whole host (root only), until interrupted or "files close".',
    '--at DIRECTORY         an empty one, or none yet; volumes appear in it under their names',
    ...VOLUME_HELP,
  ],
  options: { at: { type: 'string' }, ...VOLUME_OPTIONS },
  takes: [1, 2],
  async run(input, { output, house, secrets, signal }) {
    const [what, disk] = input.args as [string, string | undefined];
    const request = { what, disk, at: input.text('at'), ...volumeOptions(input) };
    const options = { secrets, signal, report: output.report };
    await using files = await openFiles(await house(), request, options);
    output.result(files.ready, () => text(files.ready));
    await interruptedOr(signal, files.ended);
  },
};

function text({ id, point, at, volumes }: ReadyFiles): string {
  return [
    `${point} is open at ${at} (${id}). Ctrl-C or "holdfast files close ${id}" closes it.`,
    '',
    volumesTable(volumes),
  ].join('\n');
}
