import { formatSize } from '../../lib/sizes.ts';
import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'POINT DISK --to FILE|DEVICE|NBD-URI [--format FORMAT] [--overwrite]',
  details: [
    '--to           a file appears when it is whole; holes stay holes; what was written is read back',
    '--format raw|qcow2|vmdk|vdi|vhd|vhdx   raw if nothing is said; the others for files only',
    '--overwrite    replaces a file that is there',
  ],
  options: {
    to: { type: 'string' },
    format: { type: 'string' },
    overwrite: { type: 'boolean' },
  },
  takes: [2, 2],
  async run(input, { output, call, path }) {
    const request = {
      point: input.args[0]!,
      disk: input.args[1]!,
      to: await path(input.required('to')),
      format: input.text('format') ?? 'raw',
      overwrite: input.flag('overwrite'),
    };
    const done = await call('restore/disk', request);
    output.result(done, () => {
      const written = formatSize(done.writtenBytes);
      return `Disk ${done.disk} of ${done.point} is in ${done.to} (${written} written and verified)`;
    });
  },
};
