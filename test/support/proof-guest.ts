import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { builtCheckedGuest, checkedGuestMissing } from './checked-guest.ts';
import { program, without } from './programs.ts';

// Disks that boot, or do not: what a proof of recovery has to tell apart. proof-guest-init.sh says what the guest does.

/** Why there can be none; false: there can. */
export const proofGuestMissing = checkedGuestMissing || without('mkfs.vfat', 'mcopy', 'syslinux');

export type GuestEnd = 'up' | 'emergency' | 'panic' | 'restart';

const QUIET = 'quiet mitigations=off random.trust_cpu=on no_timer_check';

/** Writes a disk whose guest ends like this to `path`. `console`: where the kernel and the guest write. */
export async function proofDisk(
  path: string,
  { end, console }: { readonly end: GuestEnd; readonly console: 'ttyS0' | 'tty0' },
): Promise<void> {
  const directory = resolve('var/proof-guest');
  mkdirSync('var', { recursive: true });
  const script = new URL('build-proof-guest.sh', import.meta.url).pathname;
  const guest = await builtCheckedGuest();
  await program('flock', `${directory}.lock`, 'sh', script, guest, directory);
  await program('cp', '--reflink=auto', '--sparse=always', join(directory, 'disk'), path);
  const words = `${QUIET} console=${console} rdinit=/proof-init proof=${end}`;
  const config = `DEFAULT linux\nPROMPT 0\nTIMEOUT 1\nLABEL linux\nKERNEL linux\nINITRD initrd,over\nAPPEND ${words}\n`;
  writeFileSync(`${path}.cfg`, config);
  await program('mcopy', '-o', '-i', path, `${path}.cfg`, '::syslinux.cfg');
}

const SECTOR_LENGTH = 512;

/** A boot sector that shows a text and stops, as a boot loader does that is damaged. */
export function bootSector(text: string): Uint8Array {
  // xor ax, ax; mov ds, ax; mov si, text; cld; next: lodsb; test al, al; jz stop; mov ah, 0x0e; xor bx, bx; int 0x10;
  // jmp next; stop: hlt; jmp stop
  const code = [
    ...[0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x00, 0x7d, 0xfc],
    ...[0xac, 0x84, 0xc0, 0x74, 0x08, 0xb4, 0x0e, 0x31, 0xdb, 0xcd, 0x10, 0xeb, 0xf3],
    ...[0xf4, 0xeb, 0xfd],
  ];
  const disk = Buffer.alloc(2 * 1024 * 1024);
  disk.set(code);
  disk.set(Buffer.from(text.replaceAll('\n', '\r\n'), 'latin1'), 0x100);
  disk.set([0x55, 0xaa], SECTOR_LENGTH - 2);
  return disk;
}

/** One that restarts the machine. */
export function restartingSector(): Uint8Array {
  const disk = Buffer.alloc(2 * 1024 * 1024);
  // jmp 0xffff:0
  disk.set([0xea, 0x00, 0x00, 0xff, 0xff]);
  disk.set([0x55, 0xaa], SECTOR_LENGTH - 2);
  return disk;
}
