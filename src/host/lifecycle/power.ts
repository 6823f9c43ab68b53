import type { Machine } from '../base/machine.ts';
import { output } from '../base/programs.ts';

/** Delay before going down, so that the reply still reaches the client. */
const SECONDS = 1;

/** Returns before the machine goes down. The reason is shown to all logged-in users and noted in the journal. */
export async function goDown(
  { run }: Machine,
  how: 'reboot' | 'poweroff',
  reason: string,
): Promise<void> {
  // systemd would substitute variables.
  const told = reason.replaceAll('$', '$$$$');
  const words = ['systemctl', `--message=${told}`, how];
  await output(run, 'systemd-run', ['--quiet', `--on-active=${SECONDS}`, '--', ...words]);
}
