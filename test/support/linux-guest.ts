import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { program, without } from './programs.ts';

/** Why no guest can be started; false: one can. */
export const guestMissing =
  without('qemu-system-x86_64', 'busybox', 'cpio', 'depmod', 'apt-get') ||
  (process.getuid?.() !== 0 && 'only root may read all of this machine for its guest');

/** What the host's loopback address is called in the guest. */
export const HOST_IN_GUEST = '10.0.2.2';

export interface GuestRun {
  readonly code: number;
  readonly output: string;
}

/**
 * Runs a shell script as root in a throw-away Linux guest, under emulation, with Debian's kernel and this machine's
 * files: a real NFS client, which the machine's own kernel may lack. It does not check its timer: on a busy machine the
 * emulated one is late, and the kernel gives up.
 */
async function inGuest(script: string, limitMs = 400_000): Promise<GuestRun> {
  const guest = await builtGuest();
  const shared = mkdtempSync(join(tmpdir(), 'holdfast-guest-'));
  writeFileSync(join(shared, 'script'), script);
  writeFileSync(join(shared, 'init'), initScript(guest));
  const device = (tag: string, path: string, readOnly: boolean): string[] => [
    '-fsdev',
    `local,id=${tag},path=${path},security_model=none,multidevs=remap${readOnly ? ',readonly=on' : ''}`,
    '-device',
    `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`,
  ];
  const child = spawn('qemu-system-x86_64', [
    ...['-machine', 'q35,accel=tcg', '-cpu', 'max', '-m', '768', '-smp', '1', '-nodefaults'],
    ...['-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
    ...['-kernel', join(guest, 'vmlinuz'), '-initrd', join(guest, 'initrd')],
    ...[
      '-append',
      'console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on no_timer_check',
    ],
    ...['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile='],
    ...device('root', '/', true),
    ...device('guest', shared, false),
  ]);
  let console_ = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => (console_ = (console_ + text.toString()).slice(-20_000)));
  }
  const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
  await once(child, 'close');
  clearTimeout(limit);
  try {
    const read = (name: string): string => readFileSync(join(shared, name), 'utf8');
    const output = existsSync(join(shared, 'output')) ? read('output') : '';
    if (!existsSync(join(shared, 'code'))) throw new Error(`no end: ${output}\n${console_}`);
    return { code: Number(read('code')), output };
  } finally {
    rmSync(shared, { recursive: true, force: true });
  }
}

/** As `inGuest`, for a script that has to end well. */
export async function expectInGuest(script: string, limitMs?: number): Promise<string> {
  const { code, output } = await inGuest(`set -eux\n${script}`, limitMs);
  if (code !== 0) throw new Error(`exit code ${code} in the guest: ${output.slice(-6000)}`);
  return output;
}

function initScript(guest: string): string {
  return `
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mkdir -p /dev/pts /dev/shm /lib/modules /mnt
mount -t devpts devpts /dev/pts
# On a machine whose /sbin and /lib are links into /usr, cp would refuse to put directories there.
tar -C ${guest}/tools -cf - . | tar -C / --keep-directory-symlink -xf -
# The packages' own scripts, which would make rpcbind's user, did not run.
grep -q '^_rpc:' /etc/passwd || echo '_rpc:x:981:65534::/run/rpcbind:/usr/sbin/nologin' >>/etc/passwd
ldconfig
rm -rf /lib/modules/*
ln -s ${guest}/modules /lib/modules/$(uname -r)
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via ${HOST_IN_GUEST}
modprobe nfsv3
cd /root
( . /run/guest/script ) >/run/guest/output 2>&1 </dev/null
echo $? >/run/guest/code
sync
/bin/busybox poweroff -f
`;
}

export async function builtGuest(): Promise<string> {
  const directory = resolve('var/linux-guest');
  if (!existsSync(join(directory, 'version'))) {
    mkdirSync(directory, { recursive: true });
    await program('sh', 'test/support/build-linux-guest.sh', directory);
  }
  return directory;
}
