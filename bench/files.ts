import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { figure, seconds, section, skipped } from './figures.ts';
import type { Holdfast } from './holdfast.ts';
import { dropCaches, isInstalled, median, timed } from './measure.ts';

const FILES = 20_000;
const ROUNDS = 3;
const MiB = 2 ** 20;
const DISK_LENGTH = 512 * MiB;

/** A directory of small files out of an encrypted recovery point, against guestmount on the raw disk. */
export async function benchFiles(work: string, holdfast: Holdfast): Promise<void> {
  section(
    `Single files: ${FILES} small ones out of one directory, against guestmount on the raw disk`,
  );
  if (process.getuid?.() !== 0) return skipped('single files', 'only root may mount');
  if (!isInstalled('rsync')) return skipped('single files', 'rsync is not installed');
  const source = join(work, 'small');
  mkdirSync(join(source, 'many'), { recursive: true });
  for (let n = 0; n < FILES; n++) {
    writeFileSync(join(source, 'many', `file ${n}`), `${n} `.repeat(1 + (n % 500)));
  }
  for (const { name, make } of [
    { name: 'ext4', make: ext4 },
    { name: 'ntfs', make: ntfs },
  ]) {
    const disk = join(work, `${name}.raw`);
    execFileSync('truncate', ['-s', String(DISK_LENGTH), disk]);
    if (!make(disk, source, work)) {
      skipped(name, 'its mkfs is not installed');
      continue;
    }
    await holdfast.run('backup', 'create', 'bench', '--machine', name, '--disk', `vda=${disk}`);
    await measure(name, { disk, work, holdfast });
    rmSync(disk);
  }
}

function ext4(disk: string, source: string): boolean {
  if (!isInstalled('mkfs.ext4')) return false;
  execFileSync('mkfs.ext4', ['-q', '-N', String(2 * FILES), '-d', source, disk]);
  return true;
}

function ntfs(disk: string, source: string, work: string): boolean {
  if (!isInstalled('mkfs.ntfs')) return false;
  execFileSync('mkfs.ntfs', ['-Q', '-F', '-q', disk], { stdio: 'ignore' });
  const at = join(work, 'made');
  mkdirSync(at, { recursive: true });
  execFileSync('ntfs-3g', [disk, at]);
  execFileSync('cp', ['-r', join(source, 'many'), at]);
  execFileSync('umount', [at]);
  return true;
}

interface Subject {
  readonly disk: string;
  readonly work: string;
  readonly holdfast: Holdfast;
}

async function measure(name: string, { disk, work, holdfast }: Subject): Promise<void> {
  const to = join(work, 'out');
  const [list, get]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    dropCaches();
    list.push((await holdfast.run('files', 'list', `${name}@latest`, 'vda', '/many')).seconds);
    dropCaches();
    get.push(
      (await holdfast.run('files', 'get', `${name}@latest`, 'vda', '/many', '--to', to)).seconds,
    );
    rmSync(to, { recursive: true });
  }
  const peer = await guestmount(disk, join(work, 'guest'), to);
  const [listed, got] = [median(list), median(get)];
  figure(
    `${name}: opened and listed`,
    seconds(listed),
    peer ? `guestmount ${seconds(peer.list)}` : '',
    {
      ...(peer && { ratio: peer.list / listed }),
      aim: '3 s',
    },
  );
  figure(
    `${name}: opened and copied out`,
    seconds(got),
    peer ? `guestmount ${seconds(peer.get)}` : '',
    {
      ...(peer && { ratio: peer.get / got }),
      aim: '1x',
    },
  );
}

/** From nothing to the end, as ours: the appliance has to start. */
async function guestmount(disk: string, at: string, to: string) {
  if (!isInstalled('guestmount')) {
    skipped('guestmount', 'it is not installed');
    return undefined;
  }
  const env = { LIBGUESTFS_BACKEND: 'direct', LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg' };
  mkdirSync(at, { recursive: true });
  async function round(command: readonly string[]): Promise<number> {
    dropCaches();
    const words = ['guestmount', '--ro', '--format=raw', '-a', disk, '-m', '/dev/sda', at];
    const open = await timed(words, { env });
    const work = await timed(command);
    execFileSync('guestunmount', [at]);
    return open.seconds + work.seconds;
  }
  const list = await round(['ls', '-l', join(at, 'many')]);
  const get = await round(['rsync', '-aHAXS', join(at, 'many'), `${to}/`]);
  if (existsSync(to)) rmSync(to, { recursive: true });
  return { list, get };
}
