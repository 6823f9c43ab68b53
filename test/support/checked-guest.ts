import { equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { program, without } from './programs.ts';

// A guest that writes numbered records to its disks and checks them when it starts: checked-guest-init.sh says how.
// Under libvirt it is started by libvirt.ts; here, by QEMU itself, only to look at disks.

/** Why there can be none; false: there can. */
export const checkedGuestMissing = without(
  ...['qemu-system-x86_64', 'busybox', 'cpio', 'mkfs.ext4', 'flock', 'qemu-ga'],
);

/** What the guest found on a disk: its records `first` to `last`, and how many of them are missing or wrong. */
export interface CheckedDisk {
  readonly disk: string;
  readonly first: number;
  readonly last: number;
  readonly bad: number;
  /** Whether the file system was at rest, as after a freeze, or as after a power cut. */
  readonly journal: 'clean' | 'recovered';
}

const END_MS = 180_000;
export const GUEST_WORDS =
  'console=ttyS0 quiet panic=1 mitigations=off random.trust_cpu=on no_timer_check';

/** Where `vmlinuz` and `initrd` lie. Built once, by one test file at a time, and kept in var/. */
export async function builtCheckedGuest(): Promise<string> {
  const directory = resolve('var/checked-guest');
  mkdirSync('var', { recursive: true });
  const script = new URL('build-checked-guest.sh', import.meta.url).pathname;
  await program('flock', `${directory}.lock`, 'sh', script, directory);
  return directory;
}

export function checkedIn(reports: readonly string[]): CheckedDisk[] {
  return reports.flatMap((line) => {
    const found = /^CHECKED (\w+) first=(\d+) last=(\d+) bad=(\d+) journal=(\w+)$/.exec(line);
    if (!found) return [];
    const [, disk = '', first, last, bad, journal] = found;
    const numbers = { first: Number(first), last: Number(last), bad: Number(bad) };
    return [{ disk, ...numbers, journal: journal as CheckedDisk['journal'] }];
  });
}

/** The lines of a guest's reports so far. */
export function reportsIn(file: string): string[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8').split(/\r?\n/).slice(0, -1);
}

/** What disks of one moment are: every record whole, `atLeast` among them, no disk ahead of those before it. */
export function expectSound(checked: readonly CheckedDisk[], atLeast: number): void {
  for (const it of checked) {
    equal(it.bad, 0, `records of ${it.disk}`);
    ok(it.last >= atLeast, `${it.disk} ends with ${it.last}, and ${atLeast} was durable`);
  }
  const ends = checked.map(({ last }) => last);
  const spread = ends.every((last, n) => n === 0 || last <= ends[n - 1]!);
  ok(spread && ends[0]! - ends.at(-1)! <= 1, `disks of one moment: ${ends.join(', ')}`);
}

/** Boots the guest in QEMU with these disks, which it may write to, and answers what it found. `file`: or a URI. */
export async function checkDisks(
  ...disks: readonly { file: string; format: 'raw' | 'qcow2' }[]
): Promise<CheckedDisk[]> {
  const guest = await builtCheckedGuest();
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-checked-'));
  const [console, reports] = [join(directory, 'console'), join(directory, 'reports')];
  const drives = disks.flatMap(({ file, format }) => [
    '-drive',
    `file=${file.replaceAll(',', ',,')},format=${format},if=virtio`,
  ]);
  const child = spawn('qemu-system-x86_64', [
    ...['-machine', 'pc,accel=tcg', '-cpu', 'max', '-m', '256', '-nodefaults', '-no-user-config'],
    ...['-display', 'none', '-no-reboot', '-serial', `file:${console}`],
    ...['-serial', `file:${reports}`],
    ...['-kernel', join(guest, 'vmlinuz'), '-initrd', join(guest, 'initrd')],
    ...['-append', `${GUEST_WORDS} checks=${disks.length}`, ...drives],
  ]);
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const limit = setTimeout(kill, END_MS);
  try {
    await once(child, 'close');
    const lines = reportsIn(reports);
    if (lines.includes('CHECKED ALL')) return checkedIn(lines);
    const shown = existsSync(console) ? readFileSync(console, 'utf8').slice(-3000) : '';
    throw new Error(`the guest did not check its disks: ${said}\n${lines.join('\n')}\n${shown}`);
  } finally {
    clearTimeout(limit);
    process.off('exit', kill);
    rmSync(directory, { recursive: true, force: true });
  }
}
