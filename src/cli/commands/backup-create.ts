import { formatSize } from '../../lib/sizes.ts';
import { type Command, UsageError } from '../command.ts';

export const command: Command = {
  usage: 'SET --machine NAME --disk NAME=IMAGE [--disk ...] [--format F] [--changed FILE]',
  details: [
    '--disk NAME=IMAGE  a file, a block device, or nbd://HOST:PORT/EXPORT, nbd+unix:///EXPORT?socket=PATH;',
    '                   several disks make one recovery point',
    '--format F         raw, qcow2, vmdk, vdi, vhd, vhdx; without it the image is looked at',
    '--changed FILE     JSON: [{"offset": 0, "length": 65536}, ...] or {"vda": [...], ...}: reads only what',
    '                   changed since the newest backup of the machine (not since a kept session)',
    'Interrupted, it publishes nothing; repeated, it finds again what was stored.',
  ],
  options: {
    machine: { type: 'string' },
    disk: { type: 'string', multiple: true },
    format: { type: 'string' },
    changed: { type: 'string' },
  },
  takes: [1, 1],
  async run(input, { output, call, path }) {
    const disks: { readonly name: string; readonly where: string }[] = [];
    for (const { name, where } of input.texts('disk').map(parseDisk)) {
      disks.push({ name, where: await path(where) });
    }
    if (disks.length === 0) throw new UsageError('--disk NAME=IMAGE is missing');
    const changed = input.text('changed');
    const request = {
      set: input.args[0]!,
      machine: input.required('machine'),
      disks,
      format: input.text('format'),
      changed: changed === undefined ? undefined : await path(changed),
    };
    const point = await call('backup/create', request);
    output.result(point, () => {
      const { readBytes, storedBytes } = point;
      const sizes = `${formatSize(readBytes)} read, ${formatSize(storedBytes)} stored`;
      return `Recovery point ${point.point} (${sizes})`;
    });
  },
};

function parseDisk(text: string): { readonly name: string; readonly where: string } {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new UsageError(`--disk ${text}: not NAME=IMAGE`);
  return { name: text.slice(0, at), where: text.slice(at + 1) };
}
