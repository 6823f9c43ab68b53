import { HostError } from '../base/host-error.ts';
import type { Machine } from '../base/machine.ts';
import { output } from '../base/programs.ts';
import { showHost } from '../settings/settings.ts';
import { readText, removeText, writeText } from '../base/text-files.ts';

/*
 * A machine that nobody has set up yet has no password that could be asked for: until set-up is finished, whoever
 * stands before its screen sets it up (systemd/console-line). The image comes with this file; so does a factory reset.
 */
const FILE = '/etc/holdfast/first-boot';
const TEXT = '# While this file is here, the screen of this machine asks for no login.\n';
/** Whoever asked for it on one of these lines reads what became of it. */
const READING_SECONDS = 10;

/** A page has the rights that it began with: on all lines, those too that nobody is at, they begin anew. */
const PAGES_ANEW = ['--no-block', 'try-restart', 'holdfast-console@*.service'];

export async function isFirstBoot({ files }: Machine): Promise<boolean> {
  return (await readText(files, FILE)) !== undefined;
}

export async function beginFirstBoot({ files, run }: Machine): Promise<void> {
  await writeText(files, FILE, TEXT);
  const after = ['--quiet', `--on-active=${READING_SECONDS}`, '--', 'systemctl', ...PAGES_ANEW];
  await output(run, 'systemd-run', after);
}

/** Rejects REFUSED where nobody could log in from then on. */
export async function endFirstBoot(machine: Machine): Promise<void> {
  const { hasPassword } = await showHost(machine);
  if (hasPassword === true) {
    await removeText(machine.files, FILE);
    await output(machine.run, 'systemctl', PAGES_ANEW);
    return;
  }
  throw new HostError(
    'REFUSED',
    "set the administrator's password first: nobody could log in at this screen any more",
  );
}
