import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { ownHypervisorFiles } from '../../../../src/box/hypervisor-files.ts';
import type { HypervisorRecord } from '../../../../src/formats/store/service/hypervisor.ts';
import { realWorld } from '../../../../src/sys/world.ts';
import { expectDone, runCli } from '../../../support/cli.ts';
import { engineIn } from '../../../support/engine.ts';
import { fakeHypervisor } from '../../../support/fake-hypervisor/fake-hypervisor.ts';
import { hostKey, managedHome } from '../../../support/hypervisors.ts';
import { without } from '../../../support/programs.ts';
import { serveHypervisors } from '../../../support/served-hypervisors.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';
import { openScreen } from '../../../support/tmux.ts';

const MAIN = new URL('../../../../src/cli/main.ts', import.meta.url).pathname;
const { store } = await engineIn(temporaryDirectory());

async function served() {
  const fake = fakeHypervisor();
  const home = managedHome(({ owner }) => fake.connect({ owner }));
  const service = await serveHypervisors(home.hypervisors, store);
  const holdfast = (...words: string[]) =>
    runCli(['hypervisor', ...words, '--socket', service.socket]);
  return {
    ...{ ...home, fake, holdfast, socket: service.socket },
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

test('a hypervisor is added, shown, tested, changed and removed', async () => {
  await using it = await served();
  const { holdfast, hostKeys, fake } = it;
  const [key, next] = [hostKey(), hostKey()];
  hostKeys.set('kvm1', [key]);
  const uri = 'fake+ssh://holdfast@kvm1/system';
  const added = await expectDone(
    holdfast('add', 'kvm1', uri, '--host-key', key.fingerprint, '--scratch', '/srv/scratch'),
  );
  match(
    added.stdout,
    /^Hypervisor "kvm1" is added\.\n\nOn the hypervisor, as root, once:\n\n {2}useradd/,
  );
  match(added.stdout, /restrict,port-forwarding.*command="helper fake:\/\/\/system" ssh-ed25519 /);
  match(added.stdout, /holdfast hypervisor test kvm1\n$/);
  match((await expectDone(holdfast('list'))).stdout, /^kvm1 .* never +not tried yet$/m);
  const tested = await expectDone(holdfast('test', 'kvm1'));
  match(tested.stdout, /^ok +reachable +fake1 answers: Fake 1\.0$/m);
  const shown = (await expectDone(holdfast('show', 'kvm1'))).stdout;
  match(shown, new RegExp(`^host key +${key.fingerprint.replaceAll('+', '\\+')}$`, 'm'));
  match(shown, /^scratch +\/srv\/scratch$/m);
  match(shown, /^last contact +\S+: fake1, Fake 1\.0$/m);
  hostKeys.set('kvm1', [next]);
  const change = ['change', 'kvm1', '--host-key'];
  equal((await holdfast(...change, key.fingerprint)).code, 8);
  await expectDone(holdfast(...change, next.fingerprint));
  fake.host.scratchCapacity = 0;
  const blocked = await holdfast('test', 'kvm1');
  equal(blocked.code, 1);
  match(
    blocked.stdout,
    /^BLOCKER +scratch-space +.* full \(0 bytes\)\n +what to do: give it more space$/m,
  );
  match(blocked.stderr, /^holdfast: backups from "kvm1" cannot begin: one condition is not met$/m);
  await expectDone(holdfast('remove', 'kvm1'));
  equal((await holdfast('show', 'kvm1')).code, 5);
});

test('machines are shown with what stands in the way of their backups', async () => {
  await using it = await served();
  const { holdfast, fake } = it;
  await expectDone(holdfast('add', 'local', 'fake:///system'));
  await fake.machine({ name: 'web', disks: { vda: 2 ** 30 }, hasAgent: false, excluded: ['sda'] });
  await fake.machine({ name: 'db', disks: { vda: 2 ** 20 } });
  const words = ['completion', 'words', '--socket', it.socket, '--', 'hypervisor', 'test'];
  match((await expectDone(runCli([...words, '']))).stdout, /^local$/m);
  match((await expectDone(runCli([...words, 'local', '']))).stdout, /^db\nweb$/m);
  match((await expectDone(holdfast('machines', 'local'))).stdout, /^db +on +never$/m);
  const { stdout } = await expectDone(holdfast('machines', 'local', '--check'));
  match(stdout, /^web +on +never +1 \(1 left out\) +1\.00 GiB +11 s +warning$/m);
  match(stdout, /^db +on +never +1 +1\.00 MiB +1 s +ok$/m);
  match(stdout, /\n\nweb:\nwarning +agent /);
});

test('a script has to give the fingerprint that it compared', async () => {
  await using it = await served();
  const { holdfast, hostKeys, directory } = it;
  const key = hostKey();
  hostKeys.set('kvm1', [key]);
  for (const json of [[], ['--json']]) {
    const refused = await runWithoutTerminal(it.socket, json);
    equal(refused.code, 2, refused.stderr);
    const said = refused.stderr + refused.stdout;
    equal(said.includes(`--host-key is missing: the host key there is ${key.fingerprint}`), true);
    match(said, /ssh-keygen -lf \/etc\/ssh\/ssh_host_ed25519_key\.pub/);
  }
  equal(existsSync(directory), false);
  // A mistyped address with a password in it is not repeated.
  const mistyped = await holdfast('add', 'kvm1', 'fake+ssh://holdfast:planted@kvm1/system');
  equal(mistyped.code, 2);
  doesNotMatch(mistyped.stderr + mistyped.stdout, /planted/);
});

async function runWithoutTerminal(socket: string, more: readonly string[]) {
  const words = ['hypervisor', 'add', 'kvm1', 'fake+ssh://holdfast@kvm1/system', ...more];
  return runCli([...words, '--socket', socket]);
}

test('a person at a terminal is shown the host key, and asked', {
  skip: without('tmux'),
}, async () => {
  await using it = await served();
  const { hostKeys, directory, socket } = it;
  const key = hostKey();
  hostKeys.set('kvm1', [key]);
  const words = [
    'hypervisor',
    'add',
    'kvm1',
    'fake+ssh://holdfast@kvm1/system',
    '--socket',
    socket,
  ];
  const asked = () =>
    openScreen([process.execPath, MAIN, ...words], {
      ...{ directory: temporaryDirectory(), term: 'screen', columns: 250 },
    });
  {
    using screen = asked();
    match(await screen.shows(/Is it the same\? \(yes\/no\)/), /The host key there is SHA256:/);
    screen.keys('no', 'Enter');
    equal(await screen.ended(), 2);
    match(screen.text(), /nothing was added: the host key was not confirmed with "yes"/);
  }
  equal(existsSync(directory), false);
  using screen = asked();
  await screen.shows(/Is it the same/);
  screen.keys('yex', 'BSpace', 's', 'Enter');
  equal(await screen.ended(), 0, screen.text());
  match(screen.text(), /\(yes\/no\) yes/, 'what is typed is shown');
  match(readFileSync(join(directory, 'kvm1.json'), 'utf8'), /"ssh-ed25519"/);
});

test('without a service the hypervisors of the user are there', async () => {
  const record: HypervisorRecord = {
    ...{ name: 'mine', kind: 'libvirt', uri: 'later:///', identity: undefined },
    ...{ sockets: undefined, scratch: undefined, added: '2026-11-30T02:00:00.000Z' },
    ...{ contact: undefined, failure: undefined },
  };
  await ownHypervisorFiles(realWorld()).add(record, undefined);
  const { result } = await expectDone(runCli(['hypervisor', 'list', '--json']));
  const [mine] = result['hypervisors'] as { hypervisor: string }[];
  equal(mine?.hypervisor, 'mine');
  // One that only a later release speaks with is shown and removed, and not used.
  await expectDone(runCli(['hypervisor', 'show', 'mine']));
  equal((await runCli(['hypervisor', 'test', 'mine'])).code, 2);
  await expectDone(runCli(['hypervisor', 'remove', 'mine']));
  deepEqual((await expectDone(runCli(['hypervisor', 'list', '--json']))).result['hypervisors'], []);
});
