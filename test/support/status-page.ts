import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DebianHost } from './debian-host.ts';

/** What the status page of a machine's console shows, and a getty. */
export const PAGE = /The service runs/;
export const LOGIN = /login: $/;

/** Where nobody logs in, the page is tried again after 2 s. */
export function quickLogins({ path }: DebianHost): void {
  const directory = path('/etc/systemd/system/holdfast-console@.service.d');
  mkdirSync(directory);
  writeFileSync(`${directory}/quick.conf`, '[Service]\nEnvironment=HOLDFAST_LOGIN_SECONDS=2\n');
}

/** Resolves once what the machine has drawn on its console since then matches. */
export async function drawn({ console }: DebianHost, since: number, what: RegExp): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (what.test(console().slice(since))) return;
    await sleep(100);
  }
  throw new Error(`no ${what.source} in: ${JSON.stringify(console().slice(since))}`);
}

/** Processes of the user that may look only. */
export async function statusPages({ tryRun }: DebianHost): Promise<string[]> {
  const { stdout } = await tryRun('sh', '-c', 'stat -c "%U %n" /proc/[0-9]* 2>/dev/null');
  return [...stdout.matchAll(/^holdfast-console \/proc\/(\d+)$/gm)].map(([, pid]) => pid!);
}
