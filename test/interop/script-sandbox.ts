import { equal, match } from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { test as tapTest } from 'tap';
import type { DebianHost } from '../support/debian-host.ts';
import { until } from '../support/until.ts';

/** A port of a guest: a web server that says which port was asked. */
const GUEST = `
import { forwardSockets } from '/usr/lib/holdfast/src/sys/net/forwarded-socket.ts';
import { createServer } from 'node:http';
const guest = createServer((_, answer) => answer.end('it works')).listen(0, '127.0.0.1', () =>
  forwardSockets(process.argv[1], new Map([['80', guest.address().port]])));
`;

/** Each line is what a script must not be able to do; what it prints is why the test fails. */
const CANNOT = [
  'ls -A /var /srv /home /root | grep -v : | grep -v "^tmp$" | grep .',
  'ls -A /run/dbus /run/holdfast-host /run/holdfast-nbd /etc/holdfast | grep -v : | grep .',
  'cat /etc/shadow',
  'cat /swap.img /my*/*',
  'for it in /usr/x /etc/x /var/tmp/x /dev/shm/x; do touch $it && echo wrote $it; done',
  'test "$(id -u)" = 0 && echo it is root',
  'grep -E "^(CapEff|CapBnd|CapPrm):.*[1-9a-f]" /proc/self/status',
  'grep "^NoNewPrivs:.0" /proc/self/status',
  'unshare --net true && echo a namespace of its own',
  'ls /proc | grep "^1$"',
];

const LOOK = `#!/bin/bash
set -u
cannot() { [ -z "$1" ] || { echo "CAN: $1"; exit 9; } }
${CANNOT.map((it) => `cannot "$({ ${it}; } 2>/dev/null)"`).join('\n')}
[ "$HOLDFAST_MACHINE $HOLDFAST_POINT $HOLDFAST_PORTS" = 'web1 web1-1 80' ] || exit 8
exec 3<>/dev/tcp/$HOLDFAST_ADDRESS/$HOLDFAST_PORT_80 || exit 7
printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3
grep 'it works' <&3
echo on both >/dev/stderr
`;

/** What the installed helper makes of scripts of the administrator's; the socket of the guest is a fake's. */
export function scriptSandbox(
  test: typeof tapTest,
  { skip, host }: { readonly skip: string | boolean; readonly host: DebianHost | undefined },
): void {
  const proof = '0123456789abcdef';

  /** Puts a script there; returns the words that ask the helper to run it. */
  function put(script: string, text: string, seconds: number): readonly [string, ...string[]] {
    const { path } = host!;
    mkdirSync(path('/etc/holdfast/verify.d'), { recursive: true, mode: 0o755 });
    writeFileSync(path(`/etc/holdfast/verify.d/${script}`), text, { mode: 0o755 });
    const about = { set: 'nightly', machine: 'web1', point: 'web1-1' };
    const request = JSON.stringify({ script, proof, seconds, ...about });
    return ['/usr/lib/holdfast/bin/node', '--input-type=module', '-e', ASK, request];
  }
  const end = (script: string, text: string, seconds = 20): Promise<string> =>
    host!.run(...put(script, text, seconds));
  const units = (): Promise<string> =>
    host!.run(
      ...(['systemctl', 'list-units', '--plain', '--no-legend', 'holdfast-script-*'] as const),
    );

  test('a script reaches the ports of its guest and nothing else of this host, and its words are kept', {
    skip,
  }, async () => {
    const { run, tryRun, path } = host!;
    // On many hosts: what is not a directory, and names that systemd would read otherwise.
    for (const name of ['/swap.img', '/my: "data"/file']) {
      mkdirSync(dirname(path(name)), { recursive: true });
      writeFileSync(path(name), 'of this host', { mode: 0o644 });
    }
    const parent = `/run/holdfast-nbd/verify-${proof}.ports`;
    await run('install', '-d', '-m', '700', parent);
    await run(
      ...(['systemd-run', '--quiet', '--unit=guest', '/usr/lib/holdfast/bin/node'] as const),
      ...['--input-type=module', '-e', GUEST, `${parent}/guest`],
    );
    const socket = `${parent}/guest/80`;
    await until('the guest answers', async () => (await tryRun('test', '-S', socket)).code === 0);
    match(await end('look', LOOK), /"isPassed":true,"detail":"exit code 0: it works \/ on both"/);
    match(await end('fails', '#!/bin/sh\necho no table; exit 3\n'), /false.*exit code 3: no table/);
  });

  test('a script that does not end is ended with all that it has started', { skip }, async () => {
    const { run, tryRun } = host!;
    const text =
      '#!/bin/sh\necho begins\nsetsid sleep 4711 &\ntrap "" TERM\nwhile :; do sleep 1; done\n';
    match(await end('hangs', text, 1), /false.*it did not end within 1 s: begins/);
    await until('its unit is gone', async () => (await units()) === '');
    const left = await tryRun('sh', '-c', 'grep -la "471[1]" /proc/[0-9]*/cmdline');
    equal(left.stdout, '');
    await run('systemctl', 'stop', 'guest.service');
  });

  test('a script is ended when the process that asked for it is gone', { skip }, async () => {
    const { run } = host!;
    const asks = put('waits', '#!/bin/sh\nsleep 4712\n', 600);
    await run('systemd-run', '--quiet', '--unit=asks', ...asks);
    await until('its unit runs', async () => (await units()) !== '');
    await run('systemctl', 'stop', 'asks.service');
    await until('its unit is gone', async () => (await units()) === '');
  });

  test('a script to which others than root may write is refused', { skip }, async () => {
    match(await end('open', '#!/bin/sh\n', 5), /isPassed":true/);
    await host!.run('chmod', '757', '/etc/holdfast/verify.d/open');
    const refused = await end('open', '#!/bin/sh\n', 5);
    match(refused, /users other than root may write/);
  });
}

/** Asks the helper as root; prints what it answers. */
const ASK = `
import { request } from 'node:http';
const to = request({
  socketPath: '/run/holdfast-host/hostd.sock', path: '/v1/verify/script', method: 'POST',
  headers: { 'content-type': 'application/json' },
}, (answer) => answer.pipe(process.stdout));
to.end(process.argv[1]);
`;
