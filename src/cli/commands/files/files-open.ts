import { argument, option } from '../../base/rows.ts';
import type { OpenedVolumes } from '../../../operations/nouns/files.ts';
import type { Command } from '../../base/command.ts';
import { volumesTable } from '../../render/file-lines.ts';
import { interruptedOr } from '../../base/interrupted.ts';
import { VOLUME_OPTIONS, volumeOptions } from '../../options/volume-options.ts';

export const command: Command = {
  summary: 'Open the volumes of a recovery point or session as directories',
  about: [
    'Mounts every volume read-only, for the whole host. The service keeps the mounts until "files close".' +
      ' Without a service, and with --at or a volume key, this command keeps them (root only), until "files' +
      ' close" or an interruption.',
  ],
  args: [
    argument('POINT|SESSION', 'the recovery point or session', { names: ['points', 'sessions'] }),
    argument('DISK', 'only this disk', { isRequired: false, names: ['disks'] }),
  ],
  options: [
    option('at', 'DIRECTORY', 'an empty or new directory; volumes appear in it under their names'),
    ...VOLUME_OPTIONS,
  ],
  examples: ['files open web1@latest'],
  async run(input, { output, engine, secrets, signal, service, call }) {
    const { openFiles } = await import('../../../engine/files/open-files.ts');
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
    await using files = await openFiles(await engine(), request, options);
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
