import { equal, match, ok } from 'node:assert/strict';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import type { test as tapTest } from 'tap';
import type { DebianHost } from '../support/debian-host.ts';

/** What `appliance/install` promises where Holdfast is installed already, with one session that runs. */
export function upgrades(
  test: typeof tapTest,
  {
    skip,
    host,
    install,
  }: {
    readonly skip: string | boolean;
    readonly host: DebianHost | undefined;
    readonly install: string;
  },
): void {
  const show = async (property: string): Promise<string> =>
    (await host!.run('systemctl', 'show', '-P', property, 'holdfastd.service')).trim();

  test('an upgrade that would not run changes nothing; one that does not get READY is taken back', {
    skip,
  }, async () => {
    const { run, tryRun, path } = host!;
    const checkout = '/root/checkout';
    const pages = ['LICENSE', 'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docs'];
    const parts = ['package.json', 'package-lock.json', ...pages, 'src'];
    await run('mkdir', checkout);
    await run(
      'cp',
      '-R',
      ...[...parts, 'systemd', 'appliance'].map((it) => `${process.cwd()}/${it}`),
      checkout,
    );
    await run('ln', '-s', realpathSync('node_modules'), `${checkout}/node_modules`);
    const pid = await show('MainPID');
    async function refused(file: string, alter: (text: string) => string): Promise<string> {
      const name = path(`${checkout}/${file}`);
      const text = readFileSync(name, 'utf8');
      writeFileSync(name, alter(text));
      const { code, stdout, stderr } = await tryRun(
        ...(['sh', `${checkout}/appliance/install`, '--offline'] as const),
      );
      writeFileSync(name, text);
      equal(code, 1, stdout);
      return stderr;
    }
    const more = '"packages": { "node_modules/not-there": { "version": "1.0.0" },';
    match(
      await refused('package-lock.json', (text) => text.replace('"packages": {', more)),
      /node_modules\/not-there 1\.0\.0: not there/,
    );
    // The service loads that one only when a client asks for it.
    match(
      await refused(
        'src/engine/points/retention.ts',
        (text) => `${text}\nimport './not-there.ts';\n`,
      ),
      /does not load: nothing was changed/,
    );
    equal(await show('MainPID'), pid);

    const unit = path(`${checkout}/systemd/holdfastd.service`);
    writeFileSync(unit, `${readFileSync(unit, 'utf8')}# of a newer version\n`);
    // In the meantime the small services get a request.
    const small = ['holdfast-hostd.service', 'holdfast-filesd.service'];
    const dropIn = '/etc/systemd/system/holdfastd.service.d';
    await run('mkdir', '-p', dropIn);
    const asks = `[Service]\nExecStartPre=+systemctl --no-block start ${small.join(' ')}\n`;
    writeFileSync(path(`${dropIn}/asks.conf`), asks);
    match(await refused('src/daemon/main.ts', () => 'process.exit(1);'), /is put back/);
    equal(await show('StatusText'), '1 sessions run');
    ok(!/of a newer version/.test(await run('systemctl', 'cat', 'holdfastd.service')));
    for (const name of small) {
      const id = (await run('systemctl', 'show', '-P', 'MainPID', name)).trim();
      const program = await tryRun('readlink', `/proc/${id}/exe`);
      ok(!program.stdout.includes('deleted'), `${name} is of the version that was taken back`);
    }
    await run('rm', `${dropIn}/asks.conf`);
    await run('systemctl', 'daemon-reload');

    // What is called in the order of their calls.
    await run('mkdir', '/root/bin');
    for (const name of ['sync', 'mv', 'rm']) {
      const lines = `#!/bin/sh\necho "${name} $*" >>/root/calls\nexec /usr/bin/${name} "$@"\n`;
      writeFileSync(path(`/root/bin/${name}`), lines, { mode: 0o755 });
    }
    const withCalls = 'PATH=/root/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    await run('env', withCalls, 'sh', `${checkout}/appliance/install`, '--offline');
    match(
      await run('cat', '/root/calls'),
      /^sync -f \S+holdfast\.new\nmv \S+holdfast \S+\.old\nmv \S+\.new \S+holdfast\n(.*\n)*sync \nrm -rf \S+\.old /m,
    );
    await run('sh', install, '--offline');
    equal(await run('sh', '-c', 'ls /usr/lib | grep ^holdfast'), 'holdfast\n');

    await run('rm', `${checkout}/node_modules`);
    await run('mkdir', `${checkout}/node_modules`);
    await run('touch', '--date=2020-01-01', `${checkout}/node_modules/.package-lock.json`);
    match(await refused('README.md', (text) => text), /older than package-lock\.json: npm ci/);
  });

  test('what an install did not end, the next one does', { skip }, async () => {
    const { run, tryRun } = host!;
    // Killed before the restart: the files are new, the process is not.
    await run('touch', '/usr/lib/holdfast.unfinished');
    const pid = await show('MainPID');
    await run('sh', install, '--offline');
    ok((await show('MainPID')) !== pid);
    equal((await tryRun('test', '-e', '/usr/lib/holdfast.unfinished')).code, 1);
    // Killed between the renames: the old program is the only one.
    await run('mv', '/usr/lib/holdfast', '/usr/lib/holdfast.old');
    await run('sh', install, '--offline');
    equal(await run('sh', '-c', 'ls /usr/lib | grep ^holdfast'), 'holdfast\n');
    equal(await show('StatusText'), '1 sessions run');
  });
}
