import { EXIT_CODES } from '../../operations/base/failure.ts';
import type { Command } from '../base/command.ts';
import { ABOUT, commandHelp, generalHelp } from './help.ts';

/** The manual page holdfast(1) in the language of man(7), with the --help text of each command. */
export function manPage(commands: readonly (readonly [words: string, Command])[]): string {
  const described = commands.map(([words, command]) =>
    [
      `.SS "holdfast ${roff(words)}"`,
      literal(commandHelp(words, command).split('\n').slice(0, -2)),
    ].join('\n'),
  );
  const codes = Object.entries(EXIT_CODES).map(([kind, code]) => `.TP\n${code}\n${roff(kind)}`);
  return `${[
    '.TH HOLDFAST 1 "" Holdfast "Backups of virtual machines"',
    '.SH NAME',
    `holdfast \\- ${roff(ABOUT)}`,
    '.SH SYNOPSIS',
    '.B holdfast',
    '.I COMMAND',
    '\\&...',
    '.SH COMMANDS',
    ...described,
    '.SH "EVERY COMMAND"',
    literal(generalHelp().split('\n')),
    '.SH "EXIT STATUS"',
    '.TP',
    '0\ndone',
    ...codes,
    '.SH FILES',
    ...FILES.map(([path, what]) => `.TP\n.I ${roff(path)}\n${roff(what)}`),
    '.SH "SEE ALSO"',
    '.BR systemctl (1),',
    '.BR systemd.time (7)',
  ].join('\n')}\n`;
}

const FILES = [
  [
    '/etc/holdfast/holdfastd.json',
    'settings of the service; see /usr/lib/holdfast/docs/service.md',
  ],
  ['/run/holdfast/control.sock', 'where the service listens for commands'],
  ['/var/lib/holdfast/store', 'the store, unless the settings name another'],
] as const;

/** Lines without filling. */
function literal(lines: readonly string[]): string {
  return ['.nf', ...lines.map(roff), '.fi'].join('\n');
}

/** Escapes commands, escapes and typographic signs: groff_char(7). */
function roff(text: string): string {
  const plain = text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('"', '\\(dq')
    .replaceAll('~', '\\(ti')
    .replaceAll('^', '\\(ha')
    .replaceAll('`', '\\(ga');
  return /^[.]/.test(plain) ? `\\&${plain}` : plain;
}
