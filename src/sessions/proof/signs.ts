/*
 * What the texts of systems and boot loaders mean: on the serial line, or on a screen in text mode. Only texts after
 * which nothing goes on by itself count as failures. A guest can write anything: it decides about itself only.
 */

export type FailureSign =
  | 'panic'
  | 'file-system-check'
  | 'emergency'
  | 'passphrase'
  | 'boot-loader'
  | 'no-boot-device';

export interface Sign<K extends string = string> {
  readonly kind: K;
  /** The line in which it was found. */
  readonly line: string;
}

/** In this order: what asks for a check of a file system also opens an emergency shell. */
const FAILURES: readonly (readonly [FailureSign, readonly RegExp[]])[] = [
  [
    'panic',
    [
      // Linux, panic.c
      /Kernel panic - not syncing/,
      // FreeBSD, OpenBSD, NetBSD, illumos
      /^panic: /,
      /^Fatal trap \d+/,
      /^panic\[cpu\d+\]/,
      // Windows, up to 7 in text mode
      /^\*\*\* STOP: 0x[0-9A-F]{8}/i,
    ],
  ],
  [
    'file-system-check',
    [
      // e2fsprogs; initramfs-tools; the BSDs' rc
      /UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY/i,
      /requires a manual fsck/i,
      /Run fsck manually/i,
      /An error occurred during the file ?system check/i,
    ],
  ],
  [
    'emergency',
    [
      // systemd
      /You are in (emergency|rescue) mode/,
      /Welcome to (emergency|rescue) mode/i,
      /(Give root password|Press Enter) for (system )?maintenance/i,
      /A maintenance shell will now be started/,
      /Cannot open access to console, the root account is locked/,
      // initramfs-tools, dracut, mkinitcpio
      /^\(initramfs\)/,
      /Dropping to a shell!/,
      /^dracut:\/[^ ]*#/,
      /^:\/root#/,
      /You are now being dropped into an emergency shell/,
      // FreeBSD, OpenBSD
      /^Enter full pathname of shell or RETURN for/,
      /^mountroot>/,
    ],
  ],
  ['passphrase', [/Please (unlock|enter passphrase for) disk/i, /^Enter passphrase for /]],
  [
    'boot-loader',
    [
      // GRUB
      /^grub rescue>/,
      /^grub>/,
      /^Entering rescue mode\.\.\./,
      /Minimal BASH-like line editing is supported/,
      // Syslinux; the boot sectors of DOS and of Windows; FreeBSD's loader
      /^(Boot error|Could not find kernel image: |Failed to load ldlinux\.c32)/,
      /^No DEFAULT or UI configuration directive found/,
      /(Missing operating system|Operating system load error|Error loading operating system|Invalid partition table)/i,
      /^(BOOTMGR|NTLDR|NTDETECT|BOOTMGR image) (is|failed|is missing)/,
      /An operating system wasn't found/,
      /^Non-System disk or disk error/,
      /^can't load 'kernel'/,
    ],
  ],
  [
    'no-boot-device',
    [
      // SeaBIOS; OVMF
      /No bootable device/,
      /No bootable option or device was found/,
      /^Shell>/,
      /UEFI Interactive Shell v/,
    ],
  ],
];

/** Texts that only a system has that is up. */
const READY: readonly RegExp[] = [
  // agetty, and the getty of the BSDs
  /(^|\s)login:$/,
  // systemd; OpenRC
  /Reached target .*(Multi-User|Graphical)/i,
  /Startup finished in .* \(kernel\)/,
  /^\s*\*\s+Starting local \.\.\..*\[ ok \]/,
];

/** Not the end by itself: a disk that the system can do without may fail its check too. */
const FAILED_CHECK =
  /(Failed to start .*File System Check|Dependency failed for .*File System Check)/;

/** The first sign that something failed; undefined: there is none. */
export function failureIn(text: string): Sign<FailureSign> | undefined {
  const lines = linesOf(text);
  for (const [kind, patterns] of FAILURES) {
    const line = lines.find((it) => patterns.some((pattern) => pattern.test(it)));
    if (line === undefined) continue;
    const check = kind === 'emergency' && lines.find((it) => FAILED_CHECK.test(it));
    return check ? { kind: 'file-system-check', line: shown(check) } : { kind, line: shown(line) };
  }
  return undefined;
}

/** The line that says that the system is up; undefined: none does. */
export function readyIn(text: string): string | undefined {
  const line = linesOf(text).find((it) => READY.some((pattern) => pattern.test(it)));
  return line === undefined ? undefined : shown(line);
}

/** The line that holds `wanted`; undefined: none does. */
export function lineWith(text: string, wanted: string): string | undefined {
  const line = linesOf(text).find((it) => it.includes(wanted));
  return line === undefined ? undefined : shown(line);
}

/** A kernel puts the time before its lines; systemd, a mark: "[  OK  ]". */
const BEFORE = /^(?:\[[^\]]{0,16}\]\s*|<\d>)+/;
/** A longer line is not a message: patterns are tried on its beginning only. */
const LINE_MAX = 512;

function linesOf(text: string): string[] {
  return text
    .split(/\r\n|\r|\n/)
    .map((line) => line.slice(0, LINE_MAX).replace(BEFORE, '').trimEnd())
    .filter((line) => line !== '');
}

const SHOWN_MAX = 160;

function shown(line: string): string {
  return line.trim().slice(0, SHOWN_MAX);
}
