import type { Command } from '../../base/command.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage: '--disk NAME [--file-system ext4] [--erase SERIAL]',
  details: [
    'Makes a file system on the whole disk, mounted at /var/lib/holdfast from now on; then: store create.',
    '--disk NAME          as "disk list" shows it',
    '--file-system xfs    the default, or ext4',
    '--erase SERIAL       what is on the disk is lost: its serial number (its name, where it has none), typed out',
  ],
  options: {
    disk: { type: 'string' },
    'file-system': { type: 'string' },
    erase: { type: 'string' },
  },
  takes: [0, 0],
  async run(input, { output, call }) {
    const fileSystem = input.text('file-system') ?? 'xfs';
    if (fileSystem !== 'xfs' && fileSystem !== 'ext4') throw new UsageError('xfs or ext4');
    const made = await call('pool/create', {
      disk: input.required('disk'),
      fileSystem,
      erase: input.text('erase'),
    });
    output.result(
      made,
      () => `${made.disk} is mounted at ${made.mountedAt}. Next: "store create".`,
    );
  },
};
