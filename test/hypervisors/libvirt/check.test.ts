import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
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
  { isLocal }: { readonly isLocal: boolean },
): Promise<readonly Finding[]> {
  await using link = await fake.link();
  const withPool = poolsOf({ link, owner: 'store1' });
  const host: LibvirtHost = {
    ...{ link, reconnect: () => fake.link(), way: localWay(undefined), withPool },
    files: pooledFiles(link, withPool),
    ...{ clock: systemClock(), isLocal, name: 'kvm1', owner: 'store1', product: 'QEMU' },
    scratch: '/scratch',
  };
  const options = { wish: WISH, signal: endless() };
  const findings = await checkMachine(host, fake.machine.domain, options);
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

test('a machine that is off, with a disk on the network, names the disk that cannot be read', async () => {
  await using fake = await fakeLibvirtd();
  Object.assign(fake.machine, { state: 'off', diskType: 'network' });
  const [finding, ...others] = await powerFindings(fake, { isLocal: true });
  equal(finding!.level, 'blocker');
  equal(finding!.disk, 'vda');
  ok(finding!.remedy);
  deepEqual(others, []);
});
