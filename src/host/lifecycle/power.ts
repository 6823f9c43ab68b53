import type { Machine } from '../base/machine.ts';
import { output } from '../base/programs.ts';

/** Whoever asked hears that it was understood. */
const SECONDS = 1;

/** Answers before the machine goes down. The reason is told to all who are logged in, and to the journal. */
export async function goDown(
  { run }: Machine,
  how: 'reboot' | 'poweroff',
  reason: string,
): Promise<void> {
  // systemd would put in what a variable holds.
  const told = reason.replaceAll('$', '$$$$');
  const words = ['systemctl', `--message=${told}`, how];
  await output(run, 'systemd-run', ['--quiet', `--on-active=${SECONDS}`, '--', ...words]);
}
