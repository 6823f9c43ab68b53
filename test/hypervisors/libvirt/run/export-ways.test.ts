import { equal, notEqual, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { sshExports } from '../../../../src/hypervisors/libvirt/run/export-ways.ts';
import { systemClock } from '../../../../src/sys/base/clock.ts';

const { signal } = new AbortController();
const SSH = {
  ...{ host: '127.0.0.1', port: 1, account: 'nobody' },
  ...{ key: '/none', knownHosts: '/none', alias: 'kvm1' },
};

test('a way to disks that cannot be opened here is a failure of that way, and not of the process', async () => {
  process.env['TMPDIR'] = '/dev/null/none';
  const served = { session: 'web1-3f9c2a', socket: '/run/holdfast/session.sock' };
  const way = sshExports(SSH, '/var/lib/libvirt/holdfast', systemClock()).open(served, () => {});
  await rejects(way.reached(signal), { code: 'FAILED', message: /temporary directory/ });
  await way[Symbol.asyncDispose]();
});

test('the socket of a session with a long ID is one that a kernel takes, and its own', async () => {
  const { urlOf } = sshExports(SSH, '/var/lib/libvirt/holdfast', systemClock());
  const pathOf = (session: string): string =>
    /socket=(.*)$/.exec(decodeURIComponent(urlOf({ session, socket: '/x' }, 'vda')))![1]!;
  equal(pathOf('web1-3f9c2a'), '/var/lib/libvirt/holdfast/holdfast-run-web1-3f9c2a.nbd');
  const [one, two] = ['1', '2'].map((end) => pathOf(`${'w'.repeat(95)}${end}`));
  ok(one!.length <= 107, one);
  notEqual(one, two);
});
