import { equal, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { failureIn, lineWith, readyIn } from '../../../src/sessions/proof/signs.ts';
import { anyText } from '../../support/any-machine.ts';

// Texts as systems and boot loaders write them.

const FAILURES = {
  panic: [
    '[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n[    1.3] CPU: 0 PID: 1',
    '[   11.594597] ---[ end Kernel panic - not syncing: Attempted to kill init! exit',
    'panic: vm_fault: fault on nofault entry\ncpuid = 0',
    '\nFatal trap 12: page fault while in kernel mode',
    '*** STOP: 0x0000007B (0xF78D2524,0xC0000034,0x00000000,0x00000000)',
  ],
  'file-system-check': [
    '/dev/sda1: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n\t(i.e., without -a or -p options)',
    'The root filesystem on /dev/sda1 requires a manual fsck\n\nBusyBox v1.35\n(initramfs) ',
    '*** An error occurred during the file system check.\nGive root password for maintenance',
    '[FAILED] Failed to start systemd-fsck@dev-vdb.service - File System Check on /dev/vdb.\n' +
      'You are in emergency mode. After logging in, type "journalctl -xb" to view',
  ],
  emergency: [
    'You are in emergency mode. After logging in, type "journalctl -xb" to view\nPress Enter for maintenance',
    'Welcome to emergency mode! After logging in, type "journalctl -xb" to view',
    'Gave up waiting for root file system device.\nALERT!  UUID=12 does not exist.  Dropping to a shell!',
    'BusyBox v1.35.0 (Debian) built-in shell (ash)\n\n(initramfs) ',
    'Generating "/run/initramfs/rdsosreport.txt"\r\n\r\ndracut:/# ',
    'Cannot open access to console, the root account is locked.',
    'mountroot> ',
  ],
  passphrase: [
    'Please unlock disk sda3_crypt: ',
    'Please enter passphrase for disk QEMU_HARDDISK (luks-1):',
    'Enter passphrase for /dev/sda3: ',
  ],
  'boot-loader': [
    'GRUB loading.\r\nWelcome to GRUB!\r\n\r\nerror: unknown filesystem.\r\nEntering rescue mode...\r\ngrub rescue> ',
    '                             GNU GRUB  version 2.06\n   Minimal BASH-like line editing is supported.',
    'Booting from Hard Disk...\nMissing operating system.',
    'Boot error',
    'BOOTMGR is missing\nPress Ctrl+Alt+Del to restart',
    'SYSLINUX 6.04\nNo DEFAULT or UI configuration directive found!\nboot: ',
  ],
  'no-boot-device': [
    'Boot failed: not a bootable disk\n\nNo bootable device.  Retrying in 60 seconds.',
    'BdsDxe: No bootable option or device was found.\nBdsDxe: Press any key to enter the Boot Manager Menu.',
    'UEFI Interactive Shell v2.2\nEDK II\nShell> ',
  ],
} as const;

test('each way in which a system stops is told by its own words', async () => {
  for (const [kind, texts] of Object.entries(FAILURES)) {
    for (const text of texts) equal(failureIn(text)?.kind, kind, text);
  }
});

const GOOD = [
  '[    0.000000] Command line: panic=10 console=ttyS0 emergency=no root=/dev/vda1',
  '[    1.0] EXT4-fs (vda1): recovery complete',
  '[  OK  ] Finished systemd-fsck-root.service - File System Check on Root Device.',
  '[FAILED] Failed to start systemd-fsck@dev-vdb.service - File System Check on /dev/vdb.\n[  OK  ] Reached target a',
  'app[12]: panic: runtime error: index out of range',
  'Booting from Hard Disk...\nBoot failed: not a bootable disk\n\nBooting from DVD/CD...',
  'BdsDxe: failed to load Boot0001 "UEFI QEMU" from PciRoot(0x0): Not Found',
  'error: no such device: 1234.\nPress any key to continue...',
  'Debian GNU/Linux 12 demo ttyS0\n\ndemo login: ',
];

test('lines that a system goes on after are no failures', async () => {
  for (const text of GOOD) equal(failureIn(text), undefined, text);
});

test('a system that is up is told by its login or its targets, and by nothing before', async () => {
  equal(readyIn('Debian GNU/Linux 12 demo ttyS0\r\n\r\ndemo login: '), 'demo login:');
  equal(
    readyIn('[  OK  ] Reached target multi-user.target - Multi-User System.\r\n'),
    'Reached target multi-user.target - Multi-User System.',
  );
  for (const text of [
    '',
    'Last login: Mon Nov 30 02:00:00',
    'login: timed out',
    'Starting getty',
  ]) {
    equal(readyIn(text), undefined, text);
  }
  equal(lineWith('a\r\n  the database is open \r\nb', 'database is'), 'the database is open');
  equal(lineWith('a\nb', 'a\nb'), undefined, 'a text is on one line');
});

test('any text is judged quickly, and what is shown of it is short', async () => {
  fc.assert(
    fc.property(fc.array(anyText, { maxLength: 20 }), (texts) => {
      const found = failureIn(texts.join('\n'));
      ok((found?.line.length ?? 0) <= 160 && !/[\r\n]/.test(found?.line ?? ''));
    }),
  );
  for (const part of ['Failed to start ', '[', '[1]', 'Please unlock ', 'File System Check', ' ']) {
    const text = part.repeat(Math.ceil(65_536 / part.length));
    const begun = process.cpuUsage().user;
    failureIn(`You are in emergency mode\n${text}`);
    readyIn(text);
    ok(process.cpuUsage().user - begun < 2_000_000, `"${part}" takes too long`);
  }
});
