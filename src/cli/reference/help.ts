import { EXIT_CODES } from '../../operations/failure.ts';
import type { Command, CommandEntry } from '../base/command.ts';

/** Without the full stop of a sentence. */
export const ABOUT = 'keeps backups of virtual machines and runs them from there';

export const COMMON_HELP = `Every command:
  --store DIR               the store; else HOLDFAST_STORE says which
  --socket PATH             the service that is to do it; else HOLDFAST_SOCKET says which, else the one at
                            /run/holdfast/control.sock if it has that store; without one it is done here
  --server https://HOST:PORT   the service of another host instead, by TLS 1.3, with
  --token-file FILE         the token that "token create" showed there, and
  --cafile FILE             certificates (PEM) that vouch for it; else those that this machine trusts
  --json                    one object, or one event a line, on stdout
  --help                    of a command

Where a set is encrypted:
  --passphrase-file FILE    its first line
  --passphrase-fd N         read from a descriptor
  --recovery-key-file FILE  instead of the passphrase
                            else the systemd credential "holdfast-passphrase", else a prompt

POINT is the ID of a recovery point, the beginning of one, or MACHINE@latest; SET/ may stand before it.`;

export function overview(commands: readonly CommandEntry[]): string {
  const width = Math.max(...commands.map(({ words }) => words.join(' ').length));
  const list = commands.map(
    ({ words, summary }) => `  ${words.join(' ').padEnd(width)}  ${summary}`,
  );
  const codes = Object.entries(EXIT_CODES).map(([kind, code]) => `${code} ${kind}`);
  return [
    `Holdfast ${ABOUT}.`,
    '',
    'Usage: holdfast COMMAND ...',
    '',
    ...list,
    '',
    COMMON_HELP,
    '',
    `Exit codes: 0 done, ${codes.join(', ')}`,
  ].join('\n');
}

export function commandHelp({ words, summary }: CommandEntry, command: Command): string {
  return [
    `Usage: holdfast ${words.join(' ')} ${command.usage}`.trimEnd(),
    '',
    sentence(summary),
    '',
    ...command.details.map((line) => `  ${line}`),
    ...(command.details.length === 0 ? [] : ['']),
    COMMON_HELP,
  ].join('\n');
}

export function sentence(summary: string): string {
  return `${summary[0]!.toUpperCase()}${summary.slice(1)}.`;
}
