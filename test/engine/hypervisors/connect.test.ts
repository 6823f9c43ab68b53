import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { connect } from '../../../src/engine/hypervisors/connect.ts';
import { add, list } from '../../../src/engine/hypervisors/managed.ts';
import { readiness } from '../../../src/engine/hypervisors/readiness.ts';
import type { Engine } from '../../../src/engine/base/engine.ts';
import type { Hypervisor } from '../../../src/hypervisors/base/hypervisor.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import { NO_FILES, failing, hostKey, managedHome, WORK } from '../../support/hypervisors.ts';

const KVM1 = { hypervisor: 'kvm1', uri: 'fake+ssh://holdfast@kvm1:2222/system' };
const OPTIONS = { owner: 'store', ...WORK };
const ASKED = { hypervisor: 'kvm1', machine: undefined };

const engine = async () => ({ store: { id: '0123456789abcdef' } }) as Engine;

/** Answers, and has no machines. */
const EMPTY: Hypervisor = {
  kind: 'libvirt',
  facts: { product: 'QEMU 7.2, libvirt 9.0', host: 'kvm1.example.net' },
  machines: async () => [],
  describe: failing('NOT_FOUND', 'none'),
  check: async () => [
    {
      ...{ level: 'warning', code: 'version', message: 'libvirt 7.0 is old' },
      remedy: 'apt-get upgrade',
    },
  ],
  backup: {
    check: failing('NOT_FOUND', 'none'),
    begin: failing('NOT_FOUND', 'none'),
    tidy: async () => [],
  },
  run: undefined,
  restore: undefined,
  guests: undefined,
  async [Symbol.asyncDispose]() {},
};

async function added(open: () => Hypervisor) {
  const home = managedHome(() => open());
  const key = hostKey();
  home.hostKeys.set('kvm1', [key]);
  const places = { ...NO_FILES, sockets: undefined, scratch: '/scratch' };
  await add(home.hypervisors, { ...KVM1, ...places, hostKey: key.fingerprint }, WORK);
  const shown = async () => (await list(home.hypervisors)).hypervisors[0]!;
  return { ...home, shown };
}

test('a driver gets the files of a hypervisor, and its answer is noted', async () => {
  const { hypervisors, directory, opened, shown } = await added(() => EMPTY);
  {
    await using it = await connect(hypervisors, 'kvm1', OPTIONS);
    equal(it, EMPTY);
  }
  const { owner, target, scratch } = opened[0]!;
  const { uri, ssh } = target;
  deepEqual([owner, scratch], ['store', '/scratch']);
  deepEqual([uri.host, uri.path], ['kvm1', '/system']);
  deepEqual(ssh, {
    ...{ account: 'holdfast', host: 'kvm1', port: 2222, alias: 'kvm1' },
    key: join(directory, 'kvm1.key'),
    knownHosts: join(directory, 'kvm1.known_hosts'),
  });
  const { contact, product, host, failure } = await shown();
  deepEqual([product, host, failure], ['QEMU 7.2, libvirt 9.0', 'kvm1.example.net', null]);
  await using _ = await connect(hypervisors, 'kvm1', OPTIONS);
  equal((await shown()).contact, contact, 'not written with each connection');
});

test('why a hypervisor could not be reached is noted, until it answers again', async () => {
  let open: () => Hypervisor = failing('UNREACHABLE', 'kvm1 does not answer');
  const { hypervisors, shown } = await added(() => open());
  await rejects(connect(hypervisors, 'kvm1', OPTIONS), { code: 'UNREACHABLE' });
  equal((await shown()).failure, 'kvm1 does not answer');
  equal((await shown()).contact, null);
  open = () => EMPTY;
  await using _ = await connect(hypervisors, 'kvm1', OPTIONS);
  equal((await shown()).failure, null);
});

test('another host key than the pinned one is refused, with what to do about it', async () => {
  const { hypervisors, shown } = await added(failing('IDENTITY', 'kvm1 shows another host key'));
  await rejects(connect(hypervisors, 'kvm1', OPTIONS), (error: Error) => {
    equal(error instanceof HypervisorError && error.code, 'IDENTITY');
    match(error.message, /^kvm1 shows another host key; something else may answer there\./);
    match(error.message, /holdfast hypervisor change kvm1 --host-key FINGERPRINT$/);
    return true;
  });
  match((await shown()).failure!, /--host-key/);
});

test('a hypervisor is not spoken with while others may read our key', async () => {
  const { hypervisors, directory, opened } = await added(() => EMPTY);
  chmodSync(join(directory, 'kvm1.key'), 0o644);
  await rejects(connect(hypervisors, 'kvm1', OPTIONS), { code: 'DENIED' });
  deepEqual(opened, []);
});

test('a report names each condition, and says what to do about those that are not met', async () => {
  const { hypervisors } = await added(() => EMPTY);
  const { ready, findings } = await readiness(hypervisors, engine, ASKED, WORK.signal);
  equal(ready, true);
  deepEqual(
    findings.map(({ level, code, remedy }) => [level, code, remedy]),
    [
      ['ok', 'reachable', null],
      ['warning', 'version', 'apt-get upgrade'],
    ],
  );
  await rejects(readiness(hypervisors, engine, { ...ASKED, machine: 'web1' }, WORK.signal), {
    code: 'NOT_FOUND',
    message: 'kvm1.example.net has no machine "web1"',
  });
});

test('a hypervisor that cannot be reached is a report too', async () => {
  const { hypervisors } = await added(failing('AUTH', 'it does not accept our key'));
  const { ready, findings } = await readiness(hypervisors, engine, ASKED, WORK.signal);
  deepEqual(
    [ready, findings.map(({ level, code }) => [level, code])],
    [false, [['blocker', 'rights']]],
  );
  match(findings[0]!.remedy!, /"holdfast hypervisor show kvm1"/);
});
