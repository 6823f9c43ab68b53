import { formatSize } from '../../../lib/sizes.ts';
import type { Command } from '../../base/command.ts';
import { QUEUE_DETAILS, QUEUE_OPTION, queueJob } from '../../options/queued-job.ts';

export const command: Command = {
  usage:
    'POINT DISK --to FILE|DEVICE|NBD-URI [--format FORMAT] [--overwrite] [--erase SERIAL] [--queue]',
  details: [
    '--to           a file appears when it is whole; holes stay holes; what was written is read back',
    '--format raw|qcow2|vmdk|vdi|vhd|vhdx   default: the ending of the name, else raw; only raw for devices and NBD',
    '--overwrite    replaces a file that is there',
    '--erase SERIAL overwrites what is on a device: its serial number (its name, if it has none), typed out',
    ...QUEUE_DETAILS,
  ],
  options: {
    to: { type: 'string' },
    format: { type: 'string' },
    overwrite: { type: 'boolean' },
    erase: { type: 'string' },
    ...QUEUE_OPTION,
  },
  takes: [2, 2],
  async run(input, context) {
    const { output, call, path } = context;
    const request = {
      point: input.args[0]!,
      disk: input.args[1]!,
      to: await path(input.required('to')),
      format: input.text('format'),
      overwrite: input.flag('overwrite'),
      erase: input.text('erase'),
    };
    if (input.flag('queue')) return queueJob({ kind: 'restore', request }, context);
    const done = await call('restore/disk', request);
    output.result(done, () => {
      const written = formatSize(done.writtenBytes);
      return `Disk ${done.disk} of ${done.point} is in ${done.to}, ${done.format} (${written} written and verified)`;
    });
  },
};
