import { EXIT_CODES } from '../../operations/failure.ts';
import type { Command, CommandEntry } from '../base/command.ts';
import { ABOUT, COMMON_HELP, sentence } from './help.ts';

/** The manual page holdfast(1) in the language of man(7), made of what --help says. */
export async function manPage(commands: readonly CommandEntry[]): Promise<string> {
  const described = await Promise.all(
    commands.map(async (entry) => sectionOf(entry, await entry.load())),
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
    literal(COMMON_HELP.split('\n')),
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
    'settings of the service; /usr/lib/holdfast/docs/service.md says which',
  ],
  ['/run/holdfast/control.sock', 'where the service listens for commands'],
  ['/var/lib/holdfast/store', 'the store, unless the settings name another'],
] as const;

function sectionOf({ words, summary }: CommandEntry, { usage, details }: Command): string {
  return [
    `.SS "holdfast ${roff(words.join(' '))}"`,
    roff(sentence(summary)),
    '.PP',
    `.B ${roff(`holdfast ${words.join(' ')} ${usage}`.trimEnd())}`,
    ...(details.length > 0 ? ['.PP', literal(details)] : []),
  ].join('\n');
}

/** Lines as they are. */
function literal(lines: readonly string[]): string {
  return ['.nf', ...lines.map(roff), '.fi'].join('\n');
}

/** groff_char(7): what would be a command, an escape or a typographic sign. */
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
