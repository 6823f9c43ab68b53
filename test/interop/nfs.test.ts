import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { expectDone, holdfastIn, type Running } from '../support/cli.ts';
import { demoVm, demoVmMissing } from '../support/demo-vm.ts';
import { startGuest } from '../support/guest.ts';
import { makeRawDisk, sameFiles } from '../support/images.ts';
import { builtGuest, expectInGuest, guestMissing, HOST_IN_GUEST } from '../support/linux-guest.ts';
import { enterOwnNetwork } from '../support/own-network.ts';
import { program, without } from '../support/programs.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { OPEN_NFS } from '../support/nfs-client.ts';

// The NFS target against the Linux kernel's client, libnfs and QEMU.
// Both come from other hosts, which the network of this file does not reach; without them their tests say why.
if (!guestMissing) await builtGuest().catch(() => {});
if (!demoVmMissing) await demoVm().catch(() => {});
/** libnfs, QEMU's driver and the kernel's lock manager know standard ports only. */
const standard = enterOwnNetwork();
const root = temporaryDirectory();
const { holdfast, backUp, start, store } = await holdfastIn(root);
const raw = join(root, 'disk.raw');
makeRawDisk(raw);
await expectDone(backUp('vm', [`vda=${raw}`]));
const md5 = createHash('md5').update(readFileSync(raw)).digest('hex');

interface Nfs {
  readonly directory: string;
  readonly ports: { readonly nfs: number; readonly mount: number; readonly portmap: number };
  readonly snippets: Readonly<Record<string, string>>;
}

function nfsOf({ ready }: Running): Nfs {
  return (ready as unknown as { nfs: Nfs }).nfs;
}

test('libnfs lists, reads and writes', {
  skip: standard || without('nfs-ls', 'nfs-cat', 'nfs-cp'),
}, async () => {
  await using running = await start('recover', 'vm@latest', '--nfs', ...OPEN_NFS, '--nfs-points');
  const { directory } = nfsOf(running);
  const url = `nfs://127.0.0.1${directory}`;
  const listed = await program('nfs-ls', url);
  for (const name of ['vda.raw', 'vda-flat.vmdk', 'vda.vmdk', 'vm.vmx', 'vm.xml']) {
    match(listed, new RegExp(` ${name.replace('.', '\\.')}$`, 'm'));
  }
  const out = join(root, 'libnfs.raw');
  await program('nfs-cp', `${url}/vda.raw`, out);
  ok(sameFiles(out, raw));
  await program('nfs-cp', raw, `${url}/copy`);
  const back = join(root, 'libnfs-again.raw');
  await program('nfs-cp', `${url}/copy`, back);
  ok(sameFiles(back, raw));
  // A recovery point, to be read only.
  const points = 'nfs://127.0.0.1/holdfast/points/nightly/vm';
  const [point] = /vm-\d{8}T\S+/.exec(await program('nfs-ls', points))!;
  const disk = join(root, 'point.raw');
  await program('nfs-cp', `${points}/${point}/vda.raw`, disk);
  ok(sameFiles(disk, raw));
  await rejects(program('nfs-cp', raw, `${points}/${point}/new`));
});

test('QEMU reads nfs://, and the VMDK descriptor beside the flat file', {
  skip: standard || without('qemu-img', 'nfs-cp'),
}, async () => {
  await using running = await start('recover', 'vm@latest', '--nfs', ...OPEN_NFS);
  const { directory, snippets } = nfsOf(running);
  const url = `nfs://127.0.0.1${directory}`;
  match(snippets['qemu']!, new RegExp(`file=${url}/vda\\.raw`));
  await program('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', `${url}/vda.raw`, raw);
  const other = join(root, 'other.raw');
  makeRawDisk(other, 24 * 2 ** 20, 40);
  await program('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', other, `${url}/vda.raw`);
  await program('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', `${url}/vda.raw`, other);
});

test('showmount and rpcinfo find what they look for', {
  skip: standard || guestMissing,
}, async () => {
  await using running = await start('recover', 'vm@latest', '--nfs', ...OPEN_NFS);
  match(nfsOf(running).directory, /^\/holdfast\/vm-/);
  const output = await expectInGuest(`
    showmount --no-headers --exports ${HOST_IN_GUEST}
    rpcinfo -T tcp ${HOST_IN_GUEST} nfs 3
    rpcinfo -s ${HOST_IN_GUEST}
  `);
  match(output, /^\/holdfast 127\.0\.0\.0\/8/m);
  match(output, /program 100003 version 3 ready/);
  match(output, /100005 .* tcp .* mountd/);
});

test('the kernel: a default mount with locks, and everything that programs do with files', {
  skip: standard || guestMissing,
}, async () => {
  await using running = await start('recover', 'vm@latest', '--nfs', ...OPEN_NFS);
  const { session } = running.ready;
  const output = await expectInGuest(`
    rpcbind; rpc.statd --no-notify; sleep 0.5
    mkdir /mnt/h
    mount -t nfs ${HOST_IN_GUEST}:/holdfast /mnt/h
    grep ' /mnt/h nfs ' /proc/mounts
    cd /mnt/h/${session}
    test "$(md5sum <vda.raw)" = "${md5}  -"
    test "$(md5sum <vda-flat.vmdk)" = "${md5}  -"

    # A disk image, opened as QEMU opens it: with its locks.
    qemu-io -f raw -c 'write -P 5 64k 192k' -c flush -c 'read -P 5 64k 192k' vda.raw
    qemu-img compare -f raw -F vmdk vda.raw vda.vmdk

    # Files: made, written, cut, renamed over, removed while open.
    dd if=/dev/urandom of=/root/big bs=64k count=200 status=none
    cp /root/big big; sync big; echo 3 >/proc/sys/vm/drop_caches; cmp /root/big big
    truncate -s 100000 big; truncate -s 100000 /root/big; cmp /root/big big
    dd if=/root/big of=big bs=1000 seek=7 conv=notrunc status=none
    dd if=/root/big of=/root/big2 bs=1000 status=none; cp /root/big /root/copy
    dd if=/root/big of=/root/copy bs=1000 seek=7 conv=notrunc status=none; cmp /root/copy big
    echo one >a; echo two >b; mv a b; test "$(cat b)" = one; test ! -e a
    exec 5<b; rm b; test "$(cat <&5)" = one; exec 5<&-
    echo x >hard; ln hard link; test "$(stat -c %h hard)" = 2; rm hard; test "$(cat link)" = x
    ln -s nowhere sym; test "$(readlink sym)" = nowhere; rm sym
    mkdir -p d/e/f; touch d/e/f/g; ! rmdir d; mv d/e/f d/f; rm -r d
    ! mknod pipe p
    touch -d '2020-02-03 04:05:06 UTC' old; test "$(stat -c %Y old)" = 1580702706
    chmod 4755 old; chown 12:34 old; test "$(stat -c %a:%u:%g old)" = 4755:12:34
    ! rm vda.raw; ! mv vda.raw other; ! truncate -s 1 vda.raw
    ! touch "$(printf 'x%.0s' $(seq 256))"

    # As another user: what POSIX permissions allow.
    mkdir -m 1777 tmp; install -m 600 /dev/null tmp/mine
    setpriv --reuid 99 --regid 99 --clear-groups sh -c '
      echo hello >tmp/yours; ! cat tmp/mine 2>/dev/null; ! rm -f tmp/mine 2>/dev/null; ! echo x >new 2>/dev/null'
    test "$(stat -c %u tmp/yours)" = 99

    # Locks through the lock manager: held by one process, refused to another, free again.
    flock link sh -c '! flock -n link true'
    flock -n link true

    # Ten thousand entries, each once.
    mkdir many; cd many; seq 1 10000 | xargs touch
    echo 3 >/proc/sys/vm/drop_caches
    test "$(ls -U | sort -n | md5sum)" = "$(seq 1 10000 | md5sum)"
    cd ..; rm -r many

    # All of it is there after a new mount.
    cd /; umount /mnt/h; mount -t nfs -o vers=3,nolock ${HOST_IN_GUEST}:/holdfast/${session} /mnt/h
    cmp /root/copy /mnt/h/big
    qemu-io -f raw -r -c 'read -P 5 64k 192k' /mnt/h/vda.raw
    df --output=avail /mnt/h
  `);
  match(output, /vers=3/);
});

test('the kernel: the server is killed five times under load, and clients notice only the time', {
  skip: standard || guestMissing,
  timeout: 600_000,
}, async () => {
  const first = await start('recover', 'vm@latest', '--nfs', ...OPEN_NFS);
  const { session } = first.ready;
  let running = first;
  const work = { isOver: false };
  const guest = expectInGuest(`
    mkdir /mnt/h
    mount -t nfs -o vers=3,hard,nolock,actimeo=1 ${HOST_IN_GUEST}:/holdfast /mnt/h
    cd /mnt/h/${session}
    ( for n in $(seq 1 20); do
        dd if=/dev/urandom of=/root/part$n bs=64k count=40 status=none
        cp /root/part$n part$n; mv part$n done$n
        dd if=/root/part$n of=vda.raw bs=64k seek=$((n * 18)) count=18 conv=notrunc,fsync status=none
        ln done$n again$n; sleep 0.8
      done ) &
    ( for n in $(seq 1 20); do dd if=vda-flat.vmdk of=/dev/null bs=1M iflag=direct status=none; sleep 0.8; done ) &
    wait %1; wait %2
    sync; echo 3 >/proc/sys/vm/drop_caches
    for n in $(seq 1 20); do
      cmp /root/part$n done$n; cmp /root/part$n again$n
      dd if=vda.raw bs=64k skip=$((n * 18)) count=18 status=none | cmp - /root/part$n -n 1179648
    done
    echo all is well
  `).finally(() => (work.isOver = true));
  let kills = 0;
  try {
    // It has booted, and works.
    const files = () => readdirSync(join(store, 'sessions', session)).join(' ');
    while (!work.isOver && !/(_file-\d+\.head .*){4}/.test(files())) await sleep(100);
    while (!work.isOver && kills < 5) {
      await running.stop('SIGKILL');
      kills++;
      running = await start('recover', '--resume', session);
      equal(nfsOf(running).directory, `/holdfast/${session}`);
      await sleep(1500);
    }
    match(await guest, /all is well/);
    equal(kills, 5);
  } finally {
    await running.stop('SIGKILL');
  }
});

test('the kernel: two sessions of the service, mounted at once; it is killed under both', {
  skip: standard || guestMissing,
  timeout: 600_000,
}, async () => {
  const home = serviceHome(temporaryDirectory());
  let service = await serviceWith(home, raw);
  try {
    const recover = async () =>
      (await expectDone(home.holdfast('recover', 'vm@latest', '--detach', '--nfs', ...OPEN_NFS)))
        .result as unknown as {
        session: string;
        nfs: Nfs;
      };
    const sessions = [await recover(), await recover()] as const;
    for (const { nfs } of sessions) {
      deepEqual(nfs.ports, { nfs: 2049, mount: 20_048, portmap: 111 });
    }
    const work = { isOver: false };
    const guest = expectInGuest(`
      mkdir /mnt/a /mnt/b
      mount -t nfs -o vers=3,hard,nolock,actimeo=1 ${HOST_IN_GUEST}:${sessions[0].nfs.directory} /mnt/a
      mount -t nfs -o vers=3,hard,nolock,actimeo=1 ${HOST_IN_GUEST}:${sessions[1].nfs.directory} /mnt/b
      load() {
        for n in $(seq 1 12); do
          dd if=/dev/urandom of=/root/$1$n bs=64k count=20 status=none
          cp /root/$1$n /mnt/$1/part$n; mv /mnt/$1/part$n /mnt/$1/done$n
          dd if=/root/$1$n of=/mnt/$1/vda.raw bs=64k seek=$((n * 20)) count=20 conv=notrunc,fsync status=none
          dd if=/mnt/$1/vda-flat.vmdk of=/dev/null bs=1M count=8 iflag=direct status=none
          sleep 0.8
        done
      }
      load a & load b &
      wait %1; wait %2
      sync; echo 3 >/proc/sys/vm/drop_caches
      for s in a b; do for n in $(seq 1 12); do
        cmp /root/$s$n /mnt/$s/done$n
        dd if=/mnt/$s/vda.raw bs=64k skip=$((n * 20)) count=20 status=none | cmp - /root/$s$n
      done; done
      test ! -e /mnt/a/${sessions[1].session}
      echo all is well
    `).finally(() => (work.isOver = true));
    const begun = () =>
      sessions.every(({ session }) =>
        /(_file-\d+\.head .*){4}/.test(
          readdirSync(join(home.store, 'sessions', session)).join(' '),
        ),
      );
    while (!work.isOver && !begun()) await sleep(100);
    let kills = 0;
    while (!work.isOver && kills < 3) {
      await service.stop('SIGKILL');
      kills++;
      service = await home.run();
      match(service.log(), /ready: 2 sessions run/);
      await sleep(1500);
    }
    match(await guest, /all is well/);
    equal(kills, 3);
  } finally {
    await service.stop('SIGKILL');
  }
});

test('QEMU boots a guest from nfs://', {
  skip: standard || demoVmMissing,
  timeout: 600_000,
}, async () => {
  const made = await expectDone(backUp('demo', [`vda=${await demoVm()}`]));
  await using running = await start(
    'recover',
    made.result['point'] as string,
    '--nfs',
    ...OPEN_NFS,
  );
  const { snippets } = nfsOf(running);
  await using guest = startGuest(snippets['qemu']!.split(' '));
  await guest.login();
  await guest.shell('echo remembered > /root/note; sync');
  match(await guest.shell('cat /root/note; dmesg | grep -c "I/O error"'), /remembered\s+0/);
  await guest.powerOff();
});

test('one session is not another: allowed networks, read-only, high ports', async () => {
  const ports = ['--nfs-port', '0', '--mount-port', '0', '--portmap-port', '0'];
  const access = ['--allow', '192.0.2.0/24', '--allow', '127.0.0.1', '--nfs-read-only'];
  await using running = await start(
    'recover',
    'vm@latest',
    '--nfs',
    ...OPEN_NFS,
    ...ports,
    ...access,
  );
  const nfs = nfsOf(running);
  ok(nfs.ports.nfs > 1024 && nfs.ports.portmap > 1024);
  match(
    nfs.snippets['linux']!,
    new RegExp(`port=${nfs.ports.nfs}.*mountport=${nfs.ports.mount}.*nolock`),
  );
  match(nfs.snippets['esxi']!, /standard ports/);
  const { session } = running.ready;
  await running.stop('SIGKILL');
  // Where it was, and to whom: without being told again.
  await using again = await start('recover', '--resume', session);
  deepEqual(nfsOf(again), nfs);
  const bad = spawnSync(process.execPath, [
    'src/cli/main.ts',
    'recover',
    'x',
    '--nfs',
    ...OPEN_NFS,
    '--nfs-port',
    '99999',
  ]);
  equal(bad.status, 2);
  // What cannot be served leaves no session behind.
  const sessions = async () =>
    ((await expectDone(holdfast('session', 'list'))).result['sessions'] as unknown[]).length;
  const before = await sessions();
  const taken = await holdfast(
    'recover',
    'vm@latest',
    '--nfs',
    ...OPEN_NFS,
    '--nfs-port',
    `${nfs.ports.nfs}`,
  );
  equal(taken.code, 3, taken.stderr);
  match(taken.stderr, /listen on tcp/);
  const nowhere = await holdfast(
    'recover',
    'vm@latest',
    '--nfs',
    ...OPEN_NFS,
    '--allow',
    '10.0.0.0/33',
  );
  match(nowhere.stderr, /neither an address nor a network/);
  equal(await sessions(), before);
});

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
