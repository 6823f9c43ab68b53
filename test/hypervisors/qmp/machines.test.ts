import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { parseHypervisorUri } from '../../../src/hypervisors/base/target.ts';
import { qmpDirectory } from '../../../src/hypervisors/qmp/place.ts';
import { openQmp } from '../../../src/hypervisors/qmp/qmp.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { FAKE_UUID, fakeQmp } from '../../support/fake-qmp.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { endless, WISH } from '../taking.ts';

const root = temporaryDirectory();
let made = 0;

function emptyDirectory(): string {
  const path = join(root, String(++made));
  mkdirSync(path);
  return path;
}

function open(path: string) {
  const target = { uri: parseHypervisorUri(`qemu+qmp://${path}`)!, ssh: undefined };
  const options = { name: 'lab', owner: 'store1', sockets: undefined, scratch: undefined, target };
  return openQmp({ ...realWorld(), ...options }, endless());
}

test('an address is a directory of this host', async () => {
  const at = (text: string) => qmpDirectory({ uri: parseHypervisorUri(text)!, ssh: undefined });
  equal(at('qemu+qmp:///run/qemu'), '/run/qemu');
  equal(at('qemu+qmp:///run/qemu/'), '/run/qemu');
  for (const wrong of ['host/run', 'root@host/run', '/', '/run?socket=/x']) {
    await rejects(async () => at(`qemu+qmp://${wrong}`), { code: 'UNSUPPORTED' });
  }
  await rejects(open(join(root, 'missing')), { code: 'UNREACHABLE', message: /-qmp unix:/ });
});

test('a machine without a UUID is listed, and refused with what to do', async () => {
  const directory = emptyDirectory();
  const none = '00000000-0000-0000-0000-000000000000';
  await using _web1 = await fakeQmp(join(directory, 'web1.qmp'), { uuid: none });
  await using host = await open(directory);
  const [machine] = await host.machines(endless());
  deepEqual(machine, { id: 'web1', name: 'web1', power: 'on' });
  const failure = { code: 'UNSUPPORTED', message: /web1 has no UUID.*-uuid/ };
  await rejects(host.describe('web1', endless()), failure);
  await rejects(host.backup.tidy('web1', [], endless()), failure);
  const [finding] = await host.check(endless());
  deepEqual([finding?.level, finding?.code], ['warning', 'identity']);
});

test('of two machines with one UUID neither is backed up as the other', async () => {
  const directory = emptyDirectory();
  await using _web1 = await fakeQmp(join(directory, 'web1.qmp'));
  await using _web2 = await fakeQmp(join(directory, 'web2.qmp'));
  await using host = await open(directory);
  equal((await host.machines(endless())).length, 2);
  const check = host.backup.check(FAKE_UUID, WISH, endless());
  await rejects(check, { code: 'CONFLICT', message: /web1 and web2 have the same UUID/ });
  const [finding, ...more] = await host.check(endless());
  deepEqual([finding?.level, finding?.code, more], ['warning', 'identity', []]);
});

test('a socket at which nothing listens is a machine that is off, and hides no other', async () => {
  const directory = emptyDirectory();
  await using _web1 = await fakeQmp(join(directory, 'web1.qmp'));
  writeFileSync(join(directory, 'dead.qmp'), '');
  writeFileSync(join(directory, 'other.txt'), '');
  await using host = await open(directory);
  deepEqual(
    (await host.machines(endless())).map(({ name, power }) => [name, power]),
    [
      ['dead', 'off'],
      ['web1', 'on'],
    ],
  );
  await rejects(host.backup.tidy('dead', [], endless()), {
    code: 'UNREACHABLE',
    message: /dead\.qmp: the machine is off/,
  });
  const gone = host.describe('5e1fc4ec-0000-4000-8000-000000000009', endless());
  await rejects(gone, { code: 'UNREACHABLE', message: /these do not answer: dead/ });
});

test('a machine that was started again under another name is found', async () => {
  const directory = emptyDirectory();
  await using host = await open(directory);
  {
    await using _web1 = await fakeQmp(join(directory, 'web1.qmp'));
    await host.machines(endless());
  }
  await using web9 = await fakeQmp(join(directory, 'web9.qmp'));
  web9.answers.set('query-block', null);
  await using other = await fakeQmp(join(directory, 'web1.qmp'), {
    uuid: '5e1fc4ec-0000-4000-8000-000000000003',
  });
  await rejects(host.describe(FAKE_UUID, endless()), (cause: Error) => {
    match(cause.message, /QEMU ended the connection/);
    return true;
  });
  equal(web9.heard.at(-1), 'query-block');
  ok(!other.heard.includes('query-block'));
});
