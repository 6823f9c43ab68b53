import { formatSize } from '../../../lib/sizes.ts';
import {
  BACKUP_OPTIONS,
  backupRequest,
  RETENTION_DETAILS,
  RETENTION_OPTIONS,
  retentionOf,
} from '../../options/backup-request.ts';
import type { Command } from '../../base/command.ts';
import { QUEUE_DETAILS, QUEUE_OPTION, queueJob } from '../../options/queued-job.ts';
import { UsageError } from '../../base/command-errors.ts';

export const command: Command = {
  usage:
    'SET --machine MACHINE --disk NAME=IMAGE [--disk ...] [--format FORMAT] [--changed FILE] [--queue]',
  details: [
    '--disk NAME=IMAGE  a file, a block device, or nbd://HOST:PORT/EXPORT, nbd+unix:///EXPORT?socket=PATH;',
    '                   several disks make one recovery point',
    '--format raw|qcow2|vmdk|vdi|vhd|vhdx   default: as the image itself says; refused if it',
    '                   consists of several files',
    '--changed FILE     JSON: [{"offset": 0, "length": 65536}, ...] or {"vda": [...], ...}: reads only what',
    '                   changed since the newest backup of the machine (not since a kept session), or with',
    '                   {"since": "POINT", "disks": ...} since that one; disks of which it cannot say that are read',
    '                   whole, and named with the reason ("scopes" of --json)',
    'If interrupted, it publishes nothing; if repeated, it finds again what was stored.',
    ...QUEUE_DETAILS,
    'With --queue also:',
    ...RETENTION_DETAILS,
  ],
  options: { ...BACKUP_OPTIONS, ...QUEUE_OPTION, ...RETENTION_OPTIONS },
  takes: [1, 1],
  async run(input, context) {
    const { output, call } = context;
    const retention = retentionOf(input);
    const isQueued = input.flag('queue');
    if (retention && !isQueued) {
      throw new UsageError('--keep-... goes with --queue; else see "backup retain"');
    }
    const request = await backupRequest(input.args[0]!, input, context);
    if (isQueued) {
      return queueJob({ kind: 'backup', request: { ...request, retention } }, context);
    }
    const point = await call('backup/create', request);
    output.result(point, () => {
      const { readBytes, storedBytes } = point;
      const sizes = `${formatSize(readBytes)} read, ${formatSize(storedBytes)} stored`;
      const whole = point.scopes
        .filter(({ scope }) => request.changed !== undefined && scope === 'all')
        .map(({ disk, reason }) => `\nDisk ${disk} was read whole, because ${reason}`);
      return `Recovery point ${point.point} (${sizes})${whole.join('')}`;
    });
  },
};
