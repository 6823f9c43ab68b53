import { deepEqual, equal, match } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { type DebianHost, debianHost, debianHostMissing } from '../support/debian-host.ts';
import { installedHost } from '../support/installed-host.ts';
import { program } from '../support/programs.ts';
import { proofDisk, proofGuestMissing } from '../support/proof-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// What the documents tell an administrator to type, on a Debian with systemd and libvirt, with the installed service
// under its own unit. Its guests are emulated.

const skip = debianHostMissing || proofGuestMissing;
const IMAGES = '/var/lib/libvirt/images';
const LIMIT = { skip, timeout: 900_000 };

const WEB1 = `<domain type='qemu'><name>web1</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='${IMAGES}/web1.qcow2'/><target dev='vda' bus='virtio'/></disk>
<serial type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<video><model type='vga'/></video></devices></domain>`;

const UEFI1 = `<domain type='qemu'><name>uefi1</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='${IMAGES}/uefi1.qcow2'/><target dev='vda' bus='virtio'/></disk>
<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices></domain>`;

test(
  'the installed service backs up, runs, moves, restores and proves a machine of its own host',
  LIMIT,
  async (t) => {
    const directory = temporaryDirectory();
    const raw = join(directory, 'web1.raw');
    await proofDisk(raw, { end: 'up', console: 'ttyS0' });
    await using host = await debianHost(directory, undefined, true);
    const { run, tryRun } = host;
    const { json, journal } = installedHost(() => host);
    await program('qemu-img', 'convert', '-O', 'qcow2', raw, host.path(`${IMAGES}/web1.qcow2`));
    await run('virsh', 'pool-define-as', 'default', 'dir', '--target', IMAGES);
    await run('virsh', 'pool-start', 'default');
    // libvirt's own choice for a volume: version 2.
    await run('virsh', 'vol-create-as', 'default', 'uefi1.qcow2', '16M', '--format', 'qcow2');
    for (const definition of [WEB1, UEFI1]) {
      await define(host, definition);
    }
    const answers = (name: string) =>
      until(
        `the agent of ${name} answers`,
        async () =>
          (await tryRun('virsh', 'qemu-agent-command', name, '{"execute":"guest-ping"}')).code ===
          0,
        journal,
      );
    const sessions = async (): Promise<readonly string[]> =>
      ((await json('holdfast', 'session', 'list'))['sessions'] as { session: string }[]).map(
        ({ session }) => session,
      );

    await t.test('it may use libvirt once the printed steps are done', async () => {
      await run('sh', `${process.cwd()}/appliance/install`, '--offline');
      await run('holdfast', 'store', 'create');
      await run('holdfast', 'set', 'create', 'nightly');
      const { steps } = await json('holdfast', 'hypervisor', 'add', 'kvm1', 'qemu:///system');
      const refused = await tryRun('holdfast', 'hypervisor', 'test', 'kvm1');
      equal(refused.code, 1);
      match(refused.stdout, /BLOCKER +rights .*group "libvirt".*\n +what to do: the steps that/);
      await run('sh', '-euc', (steps as string[]).join('\n'));
      match(await run('holdfast', 'hypervisor', 'test', 'kvm1', 'web1'), /^ok +reachable/m);
    });

    await t.test(
      'a machine runs from its backup, over a restart, and moves to its host',
      async () => {
        await run('virsh', 'start', 'web1');
        await answers('web1');
        await run('holdfast', 'backup', 'create', 'nightly', '--from', 'kvm1/web1');
        await run('virsh', 'destroy', 'web1');
        const how = ['--on', 'kvm1', '--replace', 'keep', '--power-on'];
        await run('holdfast', 'run', 'web1@latest', ...how);
        await answers('web1');
        await run('systemctl', 'restart', 'holdfastd.service');
        const [session = ''] = await sessions();
        await run('holdfast', 'session', 'migrate', session);
        await until('the session ends', async () => (await sessions()).length === 0, journal);
        match(await run('virsh', 'domblklist', 'web1'), new RegExp(`${IMAGES}/holdfast-`));
        for (let n = 0; n < 2; n++) {
          await run('holdfast', 'backup', 'create', 'nightly', '--from', 'kvm1/web1');
        }
        const shown = await run('holdfast', 'backup', 'show', 'web1@latest');
        // The second one is incremental.
        match(shown, /^based on +web1-/m);
      },
    );

    await t.test(
      'a machine with UEFI and a TPM, on an image of version 2, has both again',
      async () => {
        await run('virsh', 'start', 'uefi1');
        await run('holdfast', 'backup', 'create', 'nightly', '--from', 'kvm1/uefi1');
        const { files } = await json('holdfast', 'backup', 'show', 'uefi1@latest');
        deepEqual((files as { kind: string }[]).map(({ kind }) => kind).toSorted(), [
          ...['definition', 'description', 'firmware-vars', 'tpm-state'],
        ]);
        await run('virsh', 'destroy', 'uefi1');
        const before = await run('virsh', 'list', '--all', '--name');
        await run(
          'holdfast',
          'run',
          'uefi1@latest',
          '--on',
          'kvm1',
          '--replace',
          'keep',
          '--power-on',
        );
        const [session = ''] = await sessions();
        await run('holdfast', 'session', 'discard', session);
        equal(await run('virsh', 'list', '--all', '--name'), before);
        equal(await run('ls', '/run/holdfast-nbd'), '');
      },
    );

    await t.test('a machine, and a disk into one that runs, go back', async () => {
      const to = ['--to', 'kvm1'];
      await run('holdfast', 'restore', 'machine', 'web1@latest', ...to, '--name', 'web2');
      const attach = ['--attach-to', 'web1'];
      await run('holdfast', 'restore', 'machine-disk', 'web1@latest', 'vda', ...to, ...attach);
      match(await run('virsh', 'domblklist', 'web1'), /^ vdb /m);
    });

    await t.test('a recovery point is proven, with its screen', async () => {
      const words = ['--agent', '--http', '80/', '--timeout', '15m', '--queue'];
      const latest = ['latest', 'nightly', '--only', 'web1'];
      const { job } = await json('holdfast', 'verify', ...latest, ...words);
      await until(
        'the proof',
        async () => (await json('holdfast', 'job', 'show', String(job)))['state'] === 'done',
        journal,
      );
      const shown = ['verify', 'show', 'web1@latest', '--screenshot', '/root/web1.png'];
      match(await run('holdfast', ...shown), /^proof +proven/m);
      match(await run('head', '-c', '4', '/root/web1.png'), /PNG/);
    });
  },
);

async function define({ run, path }: DebianHost, definition: string): Promise<void> {
  writeFileSync(path('/root/machine.xml'), definition);
  await run('virsh', 'define', '/root/machine.xml');
}
