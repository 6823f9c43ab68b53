import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { handlersFor } from '../../../src/engine/base/call.ts';
import { noSecrets } from '../../../src/engine/base/engine.ts';
import { add } from '../../../src/engine/hypervisors/managed.ts';
import { putIntoGuest } from '../../../src/engine/operations/put-file.ts';
import { GranularError } from '../../../src/file-restore/base/file-restore-error.ts';
import { sha256Of } from '../../../src/formats/wire/guest-agent.ts';
import { GUEST_FILE_MAX } from '../../../src/hypervisors/base/guest-files.ts';
import { READ_MAX } from '../../../src/operations/nouns/files.ts';
import {
  type FilesOperationName,
  namesOf,
  type RequestOf,
} from '../../../src/operations/operations.ts';
import { engineIn } from '../../support/engine.ts';
import { fakeHypervisor } from '../../support/fake-hypervisor/fake-hypervisor.ts';
import { managedHome, NO_FILES } from '../../support/hypervisors.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const BYTES = noise(READ_MAX + 5000, 3);
const PUT: RequestOf<'files/put'> = {
  ...{ what: 'p', disk: 'vda', path: '/web.conf', to: 'kvm1/web1:/etc/web.conf' },
  ...{ volume: undefined, overwrite: false, isolated: false },
};

/** Volumes vda1, which has the file, and vda2, on a service that keeps a list of what it was asked. */
async function homeOf({ size = BYTES.length, kind = 'ext4', both = false } = {}) {
  const engine = await (await engineIn(temporaryDirectory())).open();
  const rig = fakeHypervisor();
  const machine = await rig.machine({ name: 'web1', disks: { vda: 65_536 } });
  const { guest } = rig.host.machines.get(machine.id)!;
  const { hypervisors } = managedHome(() => rig.connect());
  const { signal } = new AbortController();
  const own = { ...NO_FILES, sockets: undefined, scratch: undefined, hostKey: undefined };
  await add(hypervisors, { hypervisor: 'kvm1', uri: 'fake:///system', ...own }, { signal });
  const heard: string[] = [];
  const volume = (name: string) => ({
    ...{ volume: name, disk: 'vda', kind, found: kind, label: null, size: 1, closed: null },
  });
  const files = handlersFor<FilesOperationName>(namesOf('filesd'), async (name, request) => {
    heard.push(name);
    if (name === 'files/open') {
      const volumes = [volume('vda1'), volume('vda2')];
      return { id: 'r1', point: 'p', at: '/at', disks: [], volumes } as never;
    }
    if (name === 'files/read') {
      const { volume: from, first, length } = request as RequestOf<'files/read'>;
      if (from === 'vda2' && !both) throw new GranularError('NOT_FOUND', 'no such file');
      const base64 = Buffer.from(BYTES.subarray(first, first + length)).toString('base64');
      return { size, mode: 0o640, uid: 33, gid: 44, base64 } as never;
    }
    return { closed: [] } as never;
  });
  const put = (more: Partial<RequestOf<'files/put'>> = {}) =>
    putIntoGuest(
      { engine, hypervisors, files },
      { ...PUT, ...more },
      { given: undefined, who: undefined, secrets: noSecrets, signal, report() {} },
    );
  return {
    engine,
    rig,
    machine,
    guest,
    heard,
    put,
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

test('the file is found, read part by part, and put; its volumes are closed again', async () => {
  await using home = await homeOf();
  const done = await home.put();
  const lost: string[] = [];
  deepEqual(done, {
    ...{ machine: 'kvm1/web1', path: '/etc/web.conf', size: BYTES.length },
    ...{ sha256: sha256Of(BYTES), replaced: false, lost },
  });
  const file = home.guest.files.get('/etc/web.conf')!;
  ok(file.bytes.equals(BYTES));
  deepEqual([file.mode, file.owner], [0o640, '33:44']);
  equal(home.heard.filter((it) => it === 'files/read').length, 4);
  equal(home.heard.at(-1), 'files/close');
});

test('a volume of Windows has no owners and rights that count', async () => {
  await using home = await homeOf({ kind: 'ntfs' });
  await home.put({ volume: 'vda1' });
  equal(home.guest.files.get('/etc/web.conf')!.owner, '0:0');
});

test('what cannot work is refused, with nothing left open', async () => {
  await using home = await homeOf();
  for (const to of ['kvm1', 'kvm1/web1', 'kvm1/web1:', '/web1:/x', 'web1:/x']) {
    await rejects(home.put({ to }), /HYPERVISOR\/MACHINE:PATH/, to);
  }
  await rejects(home.put({ to: 'kvm1/web9:/x' }), { code: 'NOT_FOUND' });
  await rejects(home.put({ to: 'kvm9/web1:/x' }), { code: 'NOT_FOUND' });
  deepEqual(home.heard, [], 'before volumes are opened');
  home.guest.blocked.add('guest-file-write');
  await rejects(home.put(), { code: 'UNSUPPORTED' });
  equal(home.heard.at(-1), 'files/close');
  await home.machine.shutDown();
  await rejects(home.put(), /kvm1\/web1 is off/);
  await using two = await homeOf({ both: true });
  await rejects(two.put(), /vda1, vda2 have \/web\.conf: choose with --volume/);
  equal(two.heard.at(-1), 'files/close');
  await using large = await homeOf({ size: GUEST_FILE_MAX + 1 });
  await rejects(large.put(), (cause: Error) => {
    match(cause.message, /16\.0 MiB.*files get/);
    return true;
  });
  equal(large.heard.filter((it) => it === 'files/read').length, 3, 'it is not read');
  equal(large.heard.at(-1), 'files/close');
});
