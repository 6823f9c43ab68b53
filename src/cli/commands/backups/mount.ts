import { argument, option } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';
import { interruptedOr } from '../../base/interrupted.ts';

export const command: Command = {
  summary: 'Show recovery points and running sessions as files',
  about: [
    'Mounts the store at an empty directory (root only), until interrupted:',
    'sets/SET/MACHINE/POINT/DISK.raw is a disk as it was; "latest" is the newest point.',
    'sets/SET/MACHINE/POINT/DISK-partN.raw is one of its partitions.',
    'sets/SET/MACHINE/POINT/machine.json describes the machine.',
    "sessions/SESSION/DISK.raw is a running session's disk, which can be written.",
  ],
  args: [argument('DIRECTORY', 'an empty directory')],
  options: [option('set', 'SET', 'only this backup set', { kind: 'list', names: ['sets'] })],
  examples: ['mount /mnt/backups --set nightly'],
  async run(input, { output, engine, secrets, signal }) {
    const { mount } = await import('../../../engine/files/mounts.ts');
    const request = { directory: input.args[0]!, sets: input.texts('set') };
    const options = { secrets, signal, report: output.report };
    await using mounted = await mount(await engine(), request, options);
    const { ready } = mounted;
    output.result(ready, () => `${ready.directory} shows the store. Ctrl-C unmounts it.`);
    await interruptedOr(signal, mounted.ended);
  },
};
