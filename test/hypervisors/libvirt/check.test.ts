import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { BackupWish } from '../../../src/hypervisors/base/backup-driver.ts';
import type { Finding } from '../../../src/hypervisors/base/finding.ts';
import { checkMachine } from '../../../src/hypervisors/libvirt/check.ts';
import { localWay } from '../../../src/hypervisors/libvirt/data-way.ts';
import { pooledFiles, poolsOf } from '../../../src/hypervisors/libvirt/host-files.ts';
import type { LibvirtHost } from '../../../src/hypervisors/libvirt/libvirt-host.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { type FakeLibvirtd, fakeLibvirtd } from '../../support/fake-libvirtd.ts';
import { endless, WISH } from '../taking.ts';

/** What is found about its power, on this host or on another. */
async function powerFindings(
  fake: FakeLibvirtd,
  { isLocal, wish = WISH }: { readonly isLocal: boolean; readonly wish?: BackupWish },
): Promise<readonly Finding[]> {
  await using link = await fake.link();
  const withPool = poolsOf({ link, owner: 'store1' });
  const host: LibvirtHost = {
    ...{ link, reconnect: () => fake.link(), way: localWay(undefined), withPool },
    files: pooledFiles(link, withPool),
    ...{ clock: systemClock(), isLocal, name: 'kvm1', owner: 'store1', product: 'QEMU' },
    scratch: '/scratch',
  };
  const findings = await checkMachine(host, fake.machine.domain, { wish, signal: endless() });
  return findings.filter(({ code }) => code === 'power');
}

test('a machine that is off is backed up only where its images are', async () => {
  await using fake = await fakeLibvirtd();
  const { machine } = fake;
  deepEqual(await powerFindings(fake, { isLocal: false }), []);
  machine.state = 'off';
  const [here, ...others] = await powerFindings(fake, { isLocal: true });
  equal(here!.level, 'note');
  deepEqual(others, []);
  const [away] = await powerFindings(fake, { isLocal: false });
  equal(away!.level, 'blocker');
  match(away!.remedy ?? '', /virsh start --paused web1/);
});

test('a machine whose memory is saved stands in the way of more than the state after a power cut', async () => {
  await using fake = await fakeLibvirtd();
  Object.assign(fake.machine, { state: 'off', isSaved: true });
  const levelsFor = async (wish: Partial<BackupWish>) =>
    (await powerFindings(fake, { isLocal: true, wish: { ...WISH, ...wish } })).map(
      ({ level }) => level,
    );
  deepEqual(await levelsFor({}), ['note', 'warning']);
  deepEqual(await levelsFor({ fallBack: false }), ['note', 'blocker']);
  deepEqual(await levelsFor({ fallBack: false, consistency: 'crash' }), ['note']);
});

test('a machine that is off, with a disk on the network, names the disk that cannot be read', async () => {
  await using fake = await fakeLibvirtd();
  Object.assign(fake.machine, { state: 'off', diskType: 'network' });
  const [finding, ...others] = await powerFindings(fake, { isLocal: true });
  equal(finding!.level, 'blocker');
  equal(finding!.disk, 'vda');
  ok(finding!.remedy);
  deepEqual(others, []);
});
