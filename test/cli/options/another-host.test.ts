import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { hypervisorNameFor } from '../../../src/client/hypervisor-name.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import { collectedFrom, expectDone, runCli, spawnCliIn } from '../../support/cli.ts';
import { engineIn } from '../../support/engine.ts';
import { hostKey } from '../../support/hypervisors.ts';
import { placedHome } from '../../support/placed-service.ts';
import { without } from '../../support/programs.ts';
import { serveHypervisors } from '../../support/served-hypervisors.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { openScreen } from '../../support/tmux.ts';

const MAIN = new URL('../../../src/cli/main.ts', import.meta.url).pathname;
const SPARE = 'fake+ssh://root@10.0.0.7/system';

/** A service with a recovery point of `web1`, and the command line that runs it; the spare host has a host key. */
async function served() {
  const home = await placedHome();
  const service = await home.service();
  // That is a worker's work.
  const { 'restore/machine': _, ...ask } = service.ask;
  const server = await serveHypervisors(home.managed.hypervisors, home.store, ask);
  const { socket } = server;
  const passphrase = join(temporaryDirectory(), 'passphrase');
  writeFileSync(passphrase, 'correct horse\n');
  const given = ['--socket', socket, '--passphrase-file', passphrase];
  const key = hostKey();
  home.managed.hostKeys.set('10.0.0.7', [key]);
  const names = async (): Promise<readonly string[]> => {
    const { hypervisors } = await service.ask['hypervisor/list']({}, service.options);
    return hypervisors.map(({ hypervisor }) => hypervisor);
  };
  return {
    ...{ home, service, names, fingerprint: key.fingerprint },
    words: (...more: string[]) => ['run', home.point, '--power-on', ...more, ...given],
    run: (...more: string[]) => runCli(['run', home.point, '--power-on', ...more, ...given]),
    holdfast: (...words: string[]) => runCli([...words, ...given]),
    /** As a host does that has not got the line of our key. */
    refuseKey(isRefused: boolean) {
      home.opening = ({ target: { ssh } }) => {
        if (ssh && isRefused) throw new HypervisorError('AUTH', `${ssh.host} refuses our key`);
      };
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await service[Symbol.asyncDispose]();
    },
  };
}

test('a machine runs on a hypervisor that is named by its address only, and a refused run leaves none', async () => {
  await using it = await served();
  const { home, names } = it;
  // The old machine has its name.
  const refused = await it.run('--on', 'fake:///spare');
  equal(refused.code, 1, refused.stderr);
  match(
    refused.stderr,
    /^Hypervisor "local", which was added for this command, is removed again\.$/m,
  );
  deepEqual(await names(), ['kvm1']);
  deepEqual(await home.rig.sessionTraces(), []);
  const done = await expectDone(it.run('--on', 'fake:///spare', '--as', 'spare', '--name', 'web2'));
  match(done.stdout, /^Session \S+: machine web2 of \S+ is on spare\.$/m);
  match(
    done.stderr,
    /^Hypervisor "spare" was added\. To remove it: holdfast hypervisor remove spare$/m,
  );
  deepEqual(await names(), ['kvm1', 'spare']);
  const inUse = await it.holdfast('hypervisor', 'remove', 'spare');
  match(inUse.stderr, /has a machine on "spare"/);
  // It is the same one the next time.
  const again = await expectDone(it.run('--on', 'fake:///spare', '--name', 'web3', '--json'));
  match(again.stdout, /"hypervisor":"spare"/);
  doesNotMatch(again.stdout, /was added/);
});

test('one that does not answer is not kept', async () => {
  await using it = await served();
  it.home.opening = () => {
    throw new HypervisorError('UNREACHABLE', 'nothing answers there');
  };
  const refused = await it.run('--on', 'fake:///spare', '--name', 'web2');
  equal(refused.code, 1);
  match(
    refused.stderr,
    /^holdfast: nothing answers there: see whether it runs, .*\nOn this host, as root, once:\n/m,
  );
  deepEqual(await it.names(), ['kvm1']);
});

test('through SSH, its host key is compared, and the same command goes on once it knows our key', async () => {
  await using it = await served();
  const { home, names, fingerprint } = it;
  it.refuseKey(true);
  const asked = ['--on', SPARE, '--name', 'web2', '--json'];
  const unknown = await it.run(...asked);
  equal(unknown.code, 2);
  equal(
    unknown.stdout.includes(`--host-key is missing: the host key there is ${fingerprint}`),
    true,
  );
  const wrong = await it.run(...asked, '--host-key', hostKey().fingerprint);
  match(wrong.stdout, /10\.0\.0\.7 has no host key SHA256/);
  deepEqual(await names(), ['kvm1']);
  // Another mistake comes to light before anything is asked.
  match((await it.run(...asked, '--migrate', 'soon')).stdout, /--migrate: one of auto/);

  const given = [...asked, '--host-key', fingerprint];
  const first = await it.run(...given);
  equal(first.code, 1);
  const [added, refused] = first.lines;
  match(String(added!['message']), /^Hypervisor "10\.0\.0\.7" was added\. To remove it: /);
  match(
    String(refused!['message']),
    /does not know our key yet\. Put this line into authorized_keys/,
  );
  match(String(refused!['message']), /\nrestrict,port-forwarding,.* holdfast-10\.0\.0\.7\n/);
  match((await it.run(...given)).stdout, /10\.0\.0\.7 refuses our key\. Put this line/);
  const other = await it.run(...asked, '--host-key', hostKey().fingerprint);
  match(other.stdout, /was added as hypervisor \\"10\.0\.0\.7\\", with the host key/);
  deepEqual(await home.rig.sessionTraces(), []);

  it.refuseKey(false);
  // Its line is there: what refuses the run does not take its key away.
  equal((await it.run('--on', SPARE)).code, 1);
  deepEqual(await names(), ['10.0.0.7', 'kvm1']);
  const done = await expectDone(it.run(...given));
  match(done.stdout, /"hypervisor":"10\.0\.0\.7","machine":"web2"/);
});

test('a person at a terminal compares the host key, puts the line there, and the run goes on', {
  skip: without('tmux'),
}, async () => {
  await using it = await served();
  it.refuseKey(true);
  const words = it.words('--on', SPARE, '--name', 'web2');
  using screen = openScreen([process.execPath, MAIN, ...words], {
    ...{ directory: temporaryDirectory(), term: 'screen', columns: 250 },
  });
  match(await screen.shows(/Is it the same\? \(yes\/no\)/), /The host key there is SHA256:/);
  screen.keys('yes', 'Enter');
  await screen.shows(
    /useradd root\n(.*\n)* +echo 'restrict,.*(.*\n)*Press Enter once that is done:/,
  );
  screen.keys('Enter');
  await screen.shows(/10\.0\.0\.7 refuses our key\n+Press Enter once that is done:/);
  it.refuseKey(false);
  screen.keys('Enter');
  equal(await screen.ended(), 0, screen.text());
  match(screen.text(), /machine web2 of \S+ is on 10\.0\.0\.7\./);
  match(screen.text(), /Hypervisor "10\.0\.0\.7" was added\. To remove it/);
});

test('one that was added and is away says so, and is not asked for our key', async () => {
  await using it = await served();
  const given = ['--on', SPARE, '--name', 'web2', '--json', '--host-key', it.fingerprint];
  await it.run(...given);
  it.home.opening = () => {
    throw new HypervisorError('UNREACHABLE', 'nothing answers there');
  };
  const { code, stdout } = await it.run(...given);
  equal(code, 1);
  match(stdout, /nothing answers there: see whether it runs/);
  doesNotMatch(stdout, /authorized_keys/);
});

test('a name that cannot be given is refused before the host key is asked for', async () => {
  await using it = await served();
  const named = (name: string) => it.run('--on', SPARE, '--as', name, '--json');
  const taken = await named('kvm1');
  equal(taken.code, 2);
  match(
    taken.stdout,
    /--as: \\"kvm1\\" is the hypervisor at fake:\/\/\/system: choose another name/,
  );
  const wrong = await named('a b');
  match(wrong.stdout, /--as: /);
  doesNotMatch(taken.stdout + wrong.stdout, /host key/);
});

test('certificates do not change one that was added, and say what does', async () => {
  await using it = await served();
  const to = ['restore', 'machine', it.home.point, '--to', 'fake:///system', '--ca', '/x/ca.pem'];
  const { code, stderr } = await it.holdfast(...to);
  equal(code, 2);
  match(stderr, /leave out --ca\. To change it there: .* hypervisor change kvm1 --ca \/x\/ca\.pem/);
});

test('one that was added is removed where its command is interrupted before it begins', async () => {
  await using it = await served();
  const child = spawnCliIn([], it.words('--on', 'fake:///spare', '--name', 'web2'));
  const ended = collectedFrom(child);
  it.home.mishap = async () => {
    child.kill('SIGINT');
    await ended;
    return 'cut-before' as const;
  };
  match((await ended).stderr, /Hypervisor "local", .* is removed again\./);
  deepEqual(await it.names(), ['kvm1']);
});

test('options that mean nothing are refused', async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--on', 'kvm1', '--as', 'x'], /--as goes with an address: --on qemu\+ssh:\/\/ACCOUNT@HOST/],
    [['--on', 'qemu+tls://kvm2/system'], /machines cannot be run through TLS/],
  ];
  for (const [words, message] of cases) {
    const { code, stderr } = await runCli(['run', 'web1@latest', ...words]);
    equal(code, 2);
    match(stderr, message);
  }
});

test('without a service a run asks nothing, and adds nothing', async () => {
  const { store } = await engineIn(temporaryDirectory());
  const { code, stderr } = await runCli(['run', 'web1@latest', '--on', SPARE, '--store', store]);
  equal(code, 9);
  match(stderr, /no service answers/);
  const { result } = await expectDone(runCli(['hypervisor', 'list', '--json', '--store', store]));
  deepEqual(result['hypervisors'], []);
});

test('a dry run of a restore adds nothing', async () => {
  await using it = await served();
  const words = ['restore', 'machine', it.home.point, '--to', 'fake:///spare', '--name', 'web2'];
  const tried = await expectDone(it.holdfast(...words, '--pool', 'fast', '--dry-run'));
  match(tried.stdout, /to local/);
  match(tried.stderr, /Hypervisor "local", .* is removed again\./);
  deepEqual(await it.names(), ['kvm1']);
});

test('a hypervisor is named after its host', async () => {
  const cases: readonly (readonly [string, string])[] = [
    ['qemu:///system', 'local'],
    ['qemu+ssh://root@10.0.0.7/system', '10.0.0.7-2'],
    ['qemu+ssh://root@kvm1.example.net:2222/system', 'kvm1.example.net'],
    ['qemu+tls://[fd00::7]:16514/system', 'fd00-7'],
  ];
  for (const [uri, name] of cases) equal(hypervisorNameFor(uri, ['10.0.0.7']), name);
});
