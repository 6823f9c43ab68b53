import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { DRIVERS } from '../../../src/engine/hypervisors/drivers.ts';
import { parseHypervisorUri } from '../../../src/hypervisors/base/target.ts';
import { SHARED_SOCKETS, usualSockets } from '../../../src/hypervisors/libvirt/data-way.ts';

const libvirt = DRIVERS.find(({ kind }) => kind === 'libvirt')!;

function steps(account: string, uri: string, sockets?: string): readonly string[] {
  return libvirt.prepareHere!(account, parseHypervisorUri(uri)!, sockets);
}

test('the service may use libvirt of its own host once the printed steps are done', async () => {
  const [group, directory, ...others] = steps('holdfast', 'qemu:///system');
  equal(group, 'usermod -aG libvirt holdfast');
  match(
    directory!,
    /^install -d -o libvirt-qemu -g holdfast -m 2770 \/var\/lib\/libvirt\/holdfast$/,
  );
  // A process gets its groups when it starts.
  equal(others.at(-1), 'systemctl restart holdfastd');
  match(others.join('\n'), /\/run\/holdfast-nbd\/\* rw,/);
  // Else it would hide what appliance/install puts into /usr/lib/tmpfiles.d under that name.
  ok(!others.join('\n').includes('/etc/tmpfiles.d/holdfast.conf'));
  ok(steps('holdfast', 'qemu:///system', '/srv/sockets').join('\n').includes('/srv/sockets/**'));
});

test("sshd's settings for an account are no other account's, and not those of a Holdfast there", async () => {
  const [eva, hf] = ['eva', 'hf'].map((account) => libvirt.prepare(account, undefined).join('\n'));
  match(eva!, /Match User eva.*>\/etc\/ssh\/sshd_config\.d\/holdfast-for-eva\.conf$/m);
  match(hf!, /Match User hf.*>\/etc\/ssh\/sshd_config\.d\/holdfast-for-hf\.conf$/m);
});

test('root needs no steps, nor does a user for machines of their own', async () => {
  deepEqual(steps('root', 'qemu:///system'), []);
  deepEqual(steps('eva', 'qemu:///session'), []);
  equal(steps('eva', 'qemu:///system').at(-1)!.includes('systemctl'), false);
});

test('root of another host is no new account there', async () => {
  const [account, ...rest] = libvirt.prepare('holdfast', undefined);
  match(account!, /^useradd .* holdfast$/);
  deepEqual(
    libvirt.prepare('root', undefined),
    rest.map((step) => step.replaceAll(/(-g |User |-for-)holdfast/g, '$1root')),
  );
});

test('sockets of backups are where the account may reach them', async () => {
  equal(usualSockets('qemu:///system', 0), undefined);
  equal(usualSockets('qemu:///system', 998), SHARED_SOCKETS);
  equal(usualSockets('qemu:///session', 998), undefined);
});
