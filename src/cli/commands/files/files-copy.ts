import type { Command } from '../../base/command.ts';
import { copiedText } from '../../text/file-lines.ts';

export const command: Command = {
  usage: 'ID VOLUME PATH... --to NAME [--overwrite]',
  details: [
    'Copies out of a volume that the service has open: see "files open". After an interruption the same',
    'command continues.',
    '--to NAME              a directory where the service keeps restored files: "restores" in its settings.',
    "                       Set-uid and set-gid are left out: a guest's programs get no rights here",
    '--overwrite            replaces files that are there and differ',
  ],
  options: { to: { type: 'string' }, overwrite: { type: 'boolean' } },
  takes: [3, 1000],
  async run(input, { output, call }) {
    const [id, volume, ...paths] = input.args as [string, string, ...string[]];
    const [to, overwrite] = [input.required('to'), input.flag('overwrite')];
    const done = await call('files/copy', { id, volume, paths, to, overwrite });
    output.result(done, () => copiedText(done));
  },
};
