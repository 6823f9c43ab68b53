import { spawnSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import type { DebianHost } from './debian-host.ts';
import { until } from './until.ts';

const SIZE = 512 * 2 ** 20;
const NAMES = '/dev/disk/by-uuid';

/** An empty disk of 512 MiB: its name in /dev; undefined: this machine has no loop devices. */
export function loopDisk(directory: string): string | undefined {
  const file = `${directory}/disk`;
  writeFileSync(file, '');
  truncateSync(file, SIZE);
  const { status, stdout } = spawnSync('losetup', ['--find', '--show', file], { encoding: 'utf8' });
  if (status !== 0) return undefined;
  // It goes when the machine in which it is mounted has gone.
  process.once('exit', () => spawnSync('losetup', ['--detach', stdout.trim()]));
  return stdout.trim().replace('/dev/', '');
}

/** A container has no udev, which names disks by what is on them: from now on it is done here. */
export async function nameDisk({ run, tryRun }: DebianHost, disk: string): Promise<void> {
  const name = 'mkdir -p $1; ln -sfn $0 $1/$(blkid -p -s UUID -o value $0)';
  const always = `while sleep 0.1; do ${name}; done`;
  await run('systemd-run', '--quiet', '--collect', 'sh', '-c', always, `/dev/${disk}`, NAMES);
  await until(`a name of ${disk}`, async () => (await tryRun('ls', NAMES)).stdout !== '');
}
