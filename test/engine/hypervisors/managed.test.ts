import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import {
  add,
  change,
  identify,
  list,
  remove,
  show,
} from '../../../src/engine/hypervisors/managed.ts';
import type { JobService } from '../../../src/engine/jobs/job-service.ts';
import { NO_FILES, failing, hostKey, managedHome, WORK } from '../../support/hypervisors.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const USUAL = { ...NO_FILES, sockets: undefined, scratch: undefined };
const KVM1 = { ...USUAL, hypervisor: 'kvm1', uri: 'fake+ssh://holdfast@kvm1/system' };
const home = () => managedHome(failing('UNREACHABLE', 'it is not asked'));

test('a hypervisor is added with the host key that was confirmed, and with a key of its own', async () => {
  const { hypervisors, directory, hostKeys } = home();
  const [rsa, ed] = [hostKey('ssh-rsa'), hostKey()];
  hostKeys.set('kvm1', [rsa, ed]);
  const { keys } = await identify(hypervisors, { uri: KVM1.uri }, WORK);
  deepEqual(
    keys.map(({ fingerprint }) => fingerprint),
    [ed.fingerprint, rsa.fingerprint],
  );
  const added = await add(hypervisors, { ...KVM1, hostKey: ed.fingerprint }, WORK);
  equal(added.fingerprint, ed.fingerprint);
  equal(added.contact, null);
  const line = added.authorizedKey!;
  match(line, /^restrict,port-forwarding,permitlisten="localhost:1",/);
  match(line, /,command="helper fake:\/\/\/system" ssh-ed25519 \S+ holdfast-kvm1$/);
  deepEqual(added.steps[0], 'useradd holdfast');
  equal(
    added.steps.some((step) => step.includes(line)),
    true,
  );
  // OpenSSH itself reads the line, and our key belongs to it.
  const file = join(temporaryDirectory(), 'line');
  writeFileSync(file, line);
  const seen = execFileSync('ssh-keygen', ['-lf', file], { encoding: 'utf8' });
  const own = execFileSync('ssh-keygen', ['-lf', join(directory, 'kvm1.key')], {
    encoding: 'utf8',
  });
  equal(seen.split(' ')[1], own.split(' ')[1]);
  deepEqual(await show(hypervisors, { hypervisor: 'kvm1' }, WORK), added);
  const { steps: _, authorizedKey: __, ...listed } = added;
  deepEqual(await list(hypervisors), { hypervisors: [listed], damaged: [] });
});

test('without a fingerprint, or with another one, nothing is added', async () => {
  const { hypervisors, directory, hostKeys } = home();
  const shown = hostKey();
  hostKeys.set('kvm1', [shown]);
  await rejects(add(hypervisors, { ...KVM1, hostKey: undefined }, WORK), (error: Error) => {
    equal(error.message.includes(shown.fingerprint), true);
    return true;
  });
  const other = hostKey().fingerprint;
  await rejects(add(hypervisors, { ...KVM1, hostKey: other }, WORK), {
    code: 'IDENTITY',
    message: /^kvm1 has no host key SHA256:.*something else may answer there\. Nothing was changed/,
  });
  hostKeys.clear();
  await rejects(add(hypervisors, { ...KVM1, hostKey: other }, WORK), {
    code: 'UNREACHABLE',
    message: 'no SSH server answers at kvm1 port 22: connect: Connection refused',
  });
  await rejects(async () => readdirSync(directory));
});

test('an address that no driver understands is refused, with one that it does', async () => {
  const { hypervisors } = home();
  const uris = [
    'esx://host/',
    'fake+ssh:///system',
    'fake+ssh://host/system',
    'fake',
    'fake+ssh://-o@h/s',
  ];
  for (const uri of uris) {
    await rejects(identify(hypervisors, { uri }, WORK), { code: 'INVALID', message: /fake/ }, uri);
  }
  const none = { ...hypervisors, drivers: [] };
  await rejects(identify(none, { uri: 'fake:///system' }, WORK), /no driver for any hypervisor/);
});

test('the hypervisor of this host has neither a host key nor a key of ours', async () => {
  const { hypervisors, directory } = home();
  const local = { ...USUAL, hypervisor: 'local', uri: 'fake:///system?socket=/run/x.sock' };
  await rejects(
    add(hypervisors, { ...local, hostKey: hostKey().fingerprint }, WORK),
    /neither through SSH nor through TLS has no host key/,
  );
  const added = await add(hypervisors, { ...local, hostKey: undefined }, WORK);
  deepEqual([added.fingerprint, added.authorizedKey], [null, null]);
  deepEqual(added.steps, [`allow ${userInfo().username} fake/system`]);
  deepEqual(readdirSync(directory), ['local.json', 'lock']);
});

test('a host key changes only to one that the hypervisor has', async () => {
  const { hypervisors, directory, hostKeys } = home();
  const [before, after] = [hostKey(), hostKey()];
  hostKeys.set('kvm1', [before]);
  await add(hypervisors, { ...KVM1, hostKey: before.fingerprint }, WORK);
  const ours = readFileSync(join(directory, 'kvm1.key'));
  hostKeys.set('kvm1', [after]);
  const asked = { ...USUAL, hypervisor: 'kvm1', uri: undefined, hostKey: after.fingerprint };
  equal((await change(hypervisors, asked, WORK)).fingerprint, after.fingerprint);
  deepEqual(readFileSync(join(directory, 'kvm1.key')), ours);
  match(
    readFileSync(join(directory, 'kvm1.known_hosts'), 'utf8'),
    new RegExp(`^kvm1 ssh-ed25519 `),
  );
  equal(
    readFileSync(join(directory, 'kvm1.known_hosts'), 'utf8'),
    `kvm1 ssh-ed25519 ${after.key}\n`,
  );
  await rejects(change(hypervisors, { ...asked, hostKey: before.fingerprint }, WORK), {
    code: 'IDENTITY',
  });
  // At another address the same host has to answer.
  hostKeys.set('kvm2', [hostKey()]);
  const moved = { ...USUAL, hypervisor: 'kvm1', uri: 'fake+ssh://holdfast@kvm2:2222/system' };
  await rejects(change(hypervisors, { ...moved, hostKey: undefined }, WORK), { code: 'IDENTITY' });
  hostKeys.set('kvm2', [after]);
  equal((await change(hypervisors, { ...moved, hostKey: undefined }, WORK)).uri, moved.uri);
  await rejects(change(hypervisors, { ...asked, hostKey: undefined }, WORK), /nothing to change/);
  await rejects(
    change(hypervisors, { ...moved, uri: 'fake:///system', hostKey: undefined }, WORK),
    /another kind of address/,
  );
});

test('a hypervisor from which a schedule backs up is removed only if it is forced', async () => {
  const { hypervisors } = home();
  const schedule = { name: 'nightly', request: { set: 'a', from: ['kvm10/x', 'kvm1/web*'] } };
  const jobs = { schedules: { list: () => [{ schedule }] } } as unknown as JobService;
  for (const hypervisor of ['kvm1', 'kvm']) {
    await add(
      hypervisors,
      { ...USUAL, hypervisor, uri: 'fake:///system', hostKey: undefined },
      WORK,
    );
  }
  await rejects(remove(hypervisors, jobs, { hypervisor: 'kvm1', force: false }), {
    code: 'BUSY',
    message: /^schedule "nightly" backs up from "kvm1": "holdfast schedule remove nightly" first/,
  });
  await remove(hypervisors, jobs, { hypervisor: 'kvm1', force: true });
  await remove(hypervisors, jobs, { hypervisor: 'kvm', force: false });
  deepEqual((await list(hypervisors)).hypervisors, []);
});
