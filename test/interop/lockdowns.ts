import { equal, match } from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import type { test as tapTest } from 'tap';
import type { DebianHost } from '../support/debian-host.ts';

/** What needs several users, or the service as it is installed; there is a user `deputy` of the group `holdfast`. */
export function lockdowns(
  test: typeof tapTest,
  { skip, host }: { readonly skip: string | boolean; readonly host: DebianHost | undefined },
): void {
  test('two users of the group end a lockdown, and mail leaves the hardened service', {
    skip,
  }, async () => {
    const { run, tryRun, path } = host!;
    const sendmail = '/usr/local/bin/sendmail';
    writeFileSync(path(sendmail), '#!/bin/sh\ncat >/var/lib/holdfast/mail\n', { mode: 0o755 });
    const mail = { to: ['ops@example.org'], from: 'box@example.org', sendmail };
    const settings = path('/etc/holdfast/holdfastd.json');
    const before = readFileSync(settings);
    writeFileSync(settings, JSON.stringify({ lockdown: { persons: 2 }, notify: { mail } }));
    await run('systemctl', 'reload', 'holdfastd.service');
    await run('holdfast', 'notify', 'test');
    match(await run('cat', '/var/lib/holdfast/mail'), /^Subject: Holdfast on .*: a test/m);

    await run('holdfast', 'lockdown', 'on');
    equal((await tryRun('holdfast', 'set', 'create', 'more')).code, 8);
    for (let time = 0; time < 2; time++) {
      match(await run('holdfast', 'lockdown', 'off'), /2 users must approve/, 'one alone cannot');
    }
    const deputy = ['setpriv', '--reuid', 'deputy', '--regid', 'deputy', '--init-groups', '--'];
    await run(...(deputy as [string]), 'env', 'HOME=/', 'holdfast', 'lockdown', 'off');
    match(await run('holdfast', 'lockdown', 'show'), /the lockdown is off/);
    writeFileSync(settings, before);
    await run('systemctl', 'reload', 'holdfastd.service');
  });
}
