import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { fakeClock } from '../../support/fake-clock.ts';
import { fakeLibvirtd, refusal } from '../../support/fake-libvirtd.ts';
import { until } from '../../support/until.ts';
import { begin, endless, WISH } from '../taking.ts';

// How a backup begins and ends, besides what that means for the guest: see quiet-guest.test.ts.

test('a canceled backup that libvirt begins all the same is ended', async () => {
  await using host = await fakeLibvirtd();
  const { machine, heard } = host;
  const late = Promise.withResolvers<void>();
  host.answers.beginBackup = async (_args, usual) => {
    await late.promise;
    return usual();
  };
  await using driver = await host.connect();
  const controller = new AbortController();
  const { signal } = controller;
  const reason = new Error('canceled');
  const work = begin(driver, { id: machine.domain.uuid }, { signal });
  const refused = rejects(work, (cause) => cause === reason);
  await until('it begins', () => heard.includes('beginBackup'));
  controller.abort(reason);
  await until('thawed', () => machine.frozen === 0);
  late.resolve();
  await refused;
  deepEqual([machine.frozen, machine.mark, machine.backup], [0, undefined, undefined]);
  deepEqual([...machine.checkpoints], []);
});

test('the disks of a machine that runs are those that it has now', async () => {
  await using host = await fakeLibvirtd();
  const { machine } = host;
  Object.assign(machine, { live: ['vda', 'vdb'], defined: ['vda', 'vdc'] });
  await using driver = await host.connect();
  const id = machine.domain.uuid;
  const { machine: described } = await driver.describe(id, endless());
  const names = described.disks.map(({ name }) => name);
  deepEqual(names, ['vda', 'vdb']);
  await using snapshot = await begin(driver, { id }, { wish: { ...WISH, exclude: ['vdb'] } });
  deepEqual(
    snapshot.described.machine.disks.map(({ name, excluded }) => [name, excluded?.reason]),
    [
      ['vda', undefined],
      ['vdb', 'chosen'],
    ],
  );
});

test('the variables of firmware that libvirt has chosen itself are among the files', async () => {
  await using host = await fakeLibvirtd();
  const { machine } = host;
  // As libvirt 9.0 answers for a machine of virt-install's: only while it runs it names the files.
  const chosen =
    '<loader secure="yes" type="pflash">/ovmf/code.fd</loader><nvram template="/ovmf/v">/vars</nvram>';
  host.answers.domainXml = ({ flags }, usual) => {
    const isNow = machine.state === 'running' && flags === 0;
    const system = isNow ? `<os>${chosen}` : '<os firmware="efi">';
    return String(usual()).replace('<os>', system);
  };
  await using driver = await host.connect();
  const id = machine.domain.uuid;
  const running = await driver.describe(id, endless());
  deepEqual(running.machine.firmware, {
    ...{ kind: 'uefi', secureBoot: true },
    ...{ varsTemplate: '/ovmf/v', varsFile: 'firmware-variables' },
  });
  ok(running.files.some(({ kind }) => kind === 'firmware-vars'));
});

test('an image that holds no bitmaps is read whole, and the others are counted nevertheless', async () => {
  await using host = await fakeLibvirtd();
  const { machine } = host;
  Object.assign(machine, { live: ['vda', 'vdb'], defined: ['vda', 'vdb'] });
  const counted: string[][] = [];
  host.answers.beginBackup = ({ checkpoint = '' }, usual) => {
    counted.push([...checkpoint.matchAll(/name="(vd.)" checkpoint="bitmap"/g)].map((it) => it[1]!));
    if (!counted.at(-1)!.includes('vdb')) return usual();
    const what = "Can't make bitmap 'x' persistent in 'libvirt-2-format'";
    throw refusal('internal', `${what}: Cannot store dirty bitmaps in qcow2 v2 files`);
  };
  await using driver = await host.connect();
  await using snapshot = await begin(driver, { id: machine.domain.uuid });
  deepEqual(counted, [['vda', 'vdb'], ['vda']]);
  const [first, second] = snapshot.disks.map(({ why }) => why);
  equal(first, undefined);
  match(second!, /qcow2 of version 2.*qemu-img amend -f qcow2 -o compat=1\.1 \/images\/vdb\.qcow2/);
});

test('a right that is missing is named, with what gives it', async () => {
  await using host = await fakeLibvirtd();
  await using driver = await host.connect();
  // The last one is Debian's to an account that is not in the group.
  for (const number of [
    'accessDenied',
    'authFailed',
    'authCancelled',
    'authUnavailable',
  ] as const) {
    host.answers.domainXml = () => {
      throw refusal(number, 'access denied');
    };
    await rejects(begin(driver, { id: host.machine.domain.uuid }), {
      code: 'DENIED',
      message: /access denied\. The account needs the group "libvirt", or a rule of polkit/,
    });
  }
});

test('a job that libvirt takes long to end is reported while it is waited for', async () => {
  await using host = await fakeLibvirtd();
  const clock = fakeClock('2026-01-01T00:00:00Z');
  const { machine, heard } = host;
  await using driver = await host.connect(clock);
  const notices: string[] = [];
  const options = { onNotice: (it: string) => notices.push(it) };
  const snapshot = await begin(driver, { id: machine.domain.uuid }, options);
  host.answers.abortJob = () => undefined;
  const ended = snapshot[Symbol.asyncDispose]();
  await until('the order', () => heard.includes('abortJob'));
  await clock.advance(4000);
  deepEqual(notices, []);
  await clock.advance(2000);
  match(notices.join('\n'), /^the hypervisor has been ending the backup's job for 5 seconds/);
  machine.backup = undefined;
  await until('its end', async () => {
    await clock.advance(1000);
    return machine.checkpoints.size === 0;
  });
  await ended;
  equal(notices.length, 1);
});
