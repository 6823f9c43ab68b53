import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Dataset } from './dataset.ts';
import { figure, seconds, section, skipped } from './figures.ts';
import type { Holdfast } from './holdfast.ts';
import { dropCaches, ending, isInstalled, median } from './measure.ts';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

const ROUNDS = 3;
const LIMIT_MS = 180_000;

/** A guest's boot to its login, under emulation: from our store, and from qemu-nbd on the raw file. */
export async function benchBoot(data: Dataset, holdfast: Holdfast): Promise<void> {
  section('VM boot to login, page cache dropped');
  if (!isInstalled('qemu-system-x86_64')) return skipped('boot', 'QEMU is not installed');
  const { first } = data;
  const machine = 'boot';
  await holdfast.run('backup', 'create', 'bench', '--machine', machine, '--disk', `vda=${first}`);
  const profile = join(holdfast.store, 'sets', 'bench', 'profiles', `${machine}.profile`);
  const [cold, warm, raw]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    for (const times of [cold, warm]) {
      if (times === cold) rmSync(profile, { force: true });
      dropCaches();
      await using serving = await holdfast.recover(`${machine}@latest`);
      times.push(await bootTo(serving.qemu));
    }
    dropCaches();
    raw.push(await bootRaw(first));
  }
  figures(cold, warm, raw);
  await benchNfsBoot(first, holdfast, machine);
}

/** The same over NFS, against the file itself. QEMU's client knows standard ports only. */
async function benchNfsBoot(first: string, holdfast: Holdfast, machine: string): Promise<void> {
  if (process.getuid?.() !== 0) return skipped('boot over NFS', 'only root may use port 2049');
  const [ours, local]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    dropCaches();
    {
      await using serving = await holdfast.recover(`${machine}@latest`, '--nfs');
      const file = `nfs://127.0.0.1/holdfast/${serving.session}/vda.raw`;
      ours.push(await bootTo(`-drive file=${file},format=raw,if=virtio`));
    }
    dropCaches();
    local.push(await bootTo(`-drive file=${first},format=raw,if=virtio,snapshot=on`));
  }
  const [a, b] = [median(ours), median(local)];
  figure('over NFS', seconds(a), `local file ${seconds(b)}`, { ratio: b / a, aim: '0.91x' });
}

function figures(cold: number[], warm: number[], raw: number[]): void {
  const peer = median(raw);
  for (const [name, times, aim] of [
    ['without a profile', cold, '0.91x'],
    ['with the profile of the last boot', warm, '1x'],
  ] as const) {
    const ours = median(times);
    figure(name, seconds(ours), `qemu-nbd raw ${seconds(peer)}`, { ratio: peer / ours, aim });
  }
}

async function bootRaw(image: string): Promise<number> {
  const socket = `/tmp/holdfast-bench-boot-${process.pid}.sock`;
  const args = ['-s', '-t', '-f', 'raw', '-k', socket, '-x', 'vda', image];
  await using _server = ending(spawn('qemu-nbd', args, { stdio: 'ignore' }), 'SIGTERM');
  for (let n = 0; n < 200 && !existsSync(socket); n++) await new Promise((r) => setTimeout(r, 20));
  const node = {
    driver: 'nbd',
    'node-name': 'vda',
    export: 'vda',
    server: { type: 'unix', path: socket },
  };
  return await bootTo(`-blockdev '${JSON.stringify(node)}' -device virtio-blk-pci,drive=vda`);
}

/** `disks`: QEMU's arguments as for a shell. */
export async function bootTo(disks: string): Promise<number> {
  const words = [...disks.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]!);
  const machine = [
    '-machine',
    'pc,accel=tcg',
    '-cpu',
    'max',
    '-m',
    '1024',
    '-nographic',
    '-nodefaults',
  ];
  const started = performance.now();
  const guest = spawn(
    'qemu-system-x86_64',
    [...machine, '-serial', 'mon:stdio', '-nic', 'none', ...words],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  await using _guest = ending(guest, 'SIGKILL');
  const limit = setTimeout(() => guest.kill('SIGKILL'), LIMIT_MS);
  let shown = '';
  let time = Number.NaN;
  for await (const text of guest.stdout) {
    shown = (shown + String(text)).slice(-1000);
    if (!shown.includes('login: ')) continue;
    time = (performance.now() - started) / 1000;
    break;
  }
  clearTimeout(limit);
  return time;
}
