import { openFiles } from '../../../engine/files/open-files.ts';
import type { OpenedVolumes } from '../../../operations/results.ts';
import type { Command } from '../../base/command.ts';
import { volumesTable } from '../../text/file-lines.ts';
import { interruptedOr } from '../../base/interrupted.ts';
import { VOLUME_HELP, VOLUME_OPTIONS, volumeOptions } from '../../options/volume-options.ts';

export const command: Command = {
  usage: 'POINT|SESSION [DISK] [--at DIRECTORY]',
  details: [
    'Mounts every volume read-only, for the whole host: by the service, until "files close"; where none runs, and',
    'with --at or a volume key, by this command (root only), until it is interrupted as well.',
    '--at DIRECTORY         an empty one, or none yet; volumes appear in it under their names',
    ...VOLUME_HELP,
  ],
  options: { at: { type: 'string' }, ...VOLUME_OPTIONS },
  takes: [1, 2],
  async run(input, { output, house, secrets, signal, service, call }) {
    const [what, disk] = input.args as [string, string | undefined];
    const at = input.text('at');
    const isOwn = at !== undefined || input.text('volume-key-file') !== undefined;
    if (!isOwn && (await service()) !== undefined) {
      const request = { what, disk, isolated: input.flag('isolated') };
      const opened = await call('files/open', request);
      output.result({ event: 'ready', ...opened }, () => text(opened, ''));
      return;
    }
    const request = { what, disk, at, ...volumeOptions(input) };
    const options = { secrets, signal, report: output.report };
    await using files = await openFiles(await house(), request, options);
    const { opened } = files;
    output.result({ event: 'ready', ...opened }, () => text(opened, 'Ctrl-C or '));
    await interruptedOr(signal, files.ended);
  },
};

function text({ id, point, at, volumes }: OpenedVolumes, also: string): string {
  return [
    `${point} is open at ${at} (${id}). ${also}"holdfast files close ${id}" closes it.`,
    '',
    volumesTable(volumes),
  ].join('\n');
}
