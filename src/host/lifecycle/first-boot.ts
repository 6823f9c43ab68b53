import { HostError } from '../base/host-error.ts';
import type { Machine } from '../base/machine.ts';
import { output } from '../base/programs.ts';
import { showHost } from '../settings/settings.ts';
import { readText, removeText, writeText } from '../base/text-files.ts';

/*
 * A machine that was not set up yet has no password to ask for: until the set-up is finished, any person at its
 * screen can set it up (systemd/console-line). The image contains this file; a factory reset creates it.
 */
const FILE = '/etc/holdfast/first-boot';
const TEXT = '# While this file is here, the screen of this host asks for no login.\n';
/** Time to read the result for a person on one of these lines. */
const READING_SECONDS = 10;

/** A page keeps the rights with which it began: so the pages on all lines restart, including unused ones. */
const PAGES_ANEW = ['--no-block', 'try-restart', 'holdfast-console@*.service'];

export async function isFirstBoot({ files }: Machine): Promise<boolean> {
  return (await readText(files, FILE)) !== undefined;
}

export async function beginFirstBoot({ files, run }: Machine): Promise<void> {
  await writeText(files, FILE, TEXT);
  const after = ['--quiet', `--on-active=${READING_SECONDS}`, '--', 'systemctl', ...PAGES_ANEW];
  await output(run, 'systemd-run', after);
}

/** Rejects REFUSED if no user could log in from then on. */
export async function endFirstBoot(machine: Machine): Promise<void> {
  const { hasPassword } = await showHost(machine);
  if (hasPassword === true) {
    await removeText(machine.files, FILE);
    await output(machine.run, 'systemctl', PAGES_ANEW);
    return;
  }
  throw new HostError(
    'REFUSED',
    "set the administrator's password first: otherwise no user could log in at this screen",
  );
}
