import { mount } from '../../../engine/files/mounts.ts';
import type { Command } from '../../base/command.ts';
import { interruptedOr } from '../../base/interrupted.ts';

export const command: Command = {
  usage: 'DIRECTORY [--set SET ...]',
  details: [
    'Mounts the store at an empty directory (root only), until interrupted:',
    '  sets/SET/MACHINE/POINT/DISK.raw        a disk as it was; "latest" is the newest point',
    '  sets/SET/MACHINE/POINT/DISK-partN.raw  each of its partitions',
    '  sets/SET/MACHINE/POINT/machine.json    what is known of the machine',
    "  sessions/SESSION/DISK.raw              a running session's disk, which can be written",
    '--set SET          only this one; may be given several times',
  ],
  options: { set: { type: 'string', multiple: true } },
  takes: [1, 1],
  async run(input, { output, house, secrets, signal }) {
    const request = { directory: input.args[0]!, sets: input.texts('set') };
    const options = { secrets, signal, report: output.report };
    await using mounted = await mount(await house(), request, options);
    const { ready } = mounted;
    output.result(ready, () => `${ready.directory} shows the store. Ctrl-C unmounts it.`);
    await interruptedOr(signal, mounted.ended);
  },
};
