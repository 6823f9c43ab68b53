import { equal, match } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { memoryDevice } from '../../src/block/memory.ts';
import { mayOpenDisks, userMayOpenDisks } from '../../src/engine/base/access.ts';
import type { SessionRecord } from '../../src/formats/store/sessions/session.ts';
import { shellWords } from '../../src/lib/shell-words.ts';
import {
  type AttachedDisk,
  CERTIFICATES,
  libvirtXml,
  qemuArguments,
  SHARED_KEYS,
} from '../../src/sessions/guest/guest-config.ts';
import { machineFiles } from '../../src/sessions/guest/machine-files.ts';
import { guestMemory } from '../../src/sessions/serve/guest-memory.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import type { Address, TlsCredentials } from '../../src/sys/net/network.ts';
import { openNbdTarget } from '../../src/servers/nbd/server.ts';
import { selfSigned } from '../support/certificates.ts';
import { serveOne } from '../support/nbd-server.ts';
import { program, without } from '../support/programs.ts';
import { pattern } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// What is printed to be pasted is given to the programs that are to take it.

const directory = temporaryDirectory();
const TCP: Address = { kind: 'tcp', host: '192.0.2.1', port: 10_809 };
const UNIX: Address = { kind: 'unix', path: "/run/holdfast-nbd/it's & <that>.sock" };

/** As `virsh edit` looks at it, by the schema of the libvirt that is installed. */
async function define(domain: string): Promise<string> {
  const file = join(directory, 'domain.xml');
  writeFileSync(file, domain);
  return program('virsh', '-c', 'test:///default', 'define', '--validate', file);
}

function domainWith(devices: string): string {
  return `<domain type='qemu'><name>m</name><memory>65536</memory>
    <os><type arch='x86_64'>hvm</type></os><devices>${devices}</devices></domain>`;
}

// D2, D5
test('libvirt takes the disks that are printed for it, by its own schema', {
  skip: without('virsh'),
}, async () => {
  for (const address of [TCP, UNIX]) {
    for (const tls of [undefined, 'x509', 'psk'] as const) {
      const disks: AttachedDisk[] = [
        { disk: 'vda', address, tls },
        { disk: 'vdb', address, tls, sectorSize: 4096 },
      ];
      const text = libvirtXml(disks);
      match(await define(domainWith(text)), /defined/, `${address.kind} ${tls}`);
      equal(text.includes(CERTIFICATES), tls === 'x509');
    }
  }
});

test('libvirt takes the domain that lies beside the disks over NFS', {
  skip: without('virsh'),
}, async () => {
  const session = { id: 'vm-1a2b3c', machine: "it's & <that>", point: 'p', disks: [] };
  const disks = ['vda', 'vdb'].map((name) => ({ name, size: 4096, sectorSize: 4096 }));
  const { files } = machineFiles({ ...session, disks } as unknown as SessionRecord);
  const domain = files.find(({ name }) => name.endsWith('.xml'))!;
  match(await define(Buffer.from(domain.contents).toString()), /defined/);
});

/** What QEMU has for a disk once it has started with what was printed, pasted into a shell. */
function blocksOf(printed: string): Promise<string> {
  return monitor(printed, 'info block');
}

async function monitor(printed: string, command: string): Promise<string> {
  const quiet = '-S -nodefaults -display none -machine pc,accel=tcg -m 32 -monitor stdio';
  const qemu = spawn('sh', ['-c', `exec qemu-system-x86_64 ${quiet} ${printed}`]);
  let said = '';
  for (const stream of [qemu.stdout, qemu.stderr]) {
    stream.on('data', (bytes: Buffer) => (said += bytes.toString()));
  }
  qemu.stdin.end(`${command}\nquit\n`);
  await once(qemu, 'close');
  return said;
}

async function credentialsIn(kind: 'x509' | 'psk'): Promise<TlsCredentials> {
  if (kind === 'psk') {
    const key = '00112233445566778899aabbccddeeff';
    writeFileSync(join(directory, 'keys.psk'), `me:${key}\n`);
    return { kind, keyOf: (identity) => (identity === 'me' ? Buffer.from(key, 'hex') : undefined) };
  }
  const certificate = join(directory, 'ca-cert.pem');
  const key = join(directory, 'key.pem');
  await selfSigned({ certificate, key }, 'holdfast', 'IP:127.0.0.1');
  return {
    ...{ kind, authority: undefined },
    key: readFileSync(key),
    certificate: readFileSync(certificate),
  };
}

test('QEMU opens the disks with the arguments that are printed for it, through TLS too', {
  skip: without('qemu-system-x86_64', 'openssl'),
}, async () => {
  for (const kind of [undefined, 'x509', 'psk'] as const) {
    const credentials = kind && (await credentialsIn(kind));
    await using target = await openNbdTarget({
      ...{ clock: systemClock(), memory: guestMemory(), hasDefault: false },
      listen: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      tls: credentials && { mode: 'require', credentials },
    });
    target.export('vda', memoryDevice(pattern(65_536)), { description: '', readOnly: false });
    const args = qemuArguments([{ disk: 'vda', address: target.address, tls: kind }]);
    const printed = shellWords(args)
      .replace(SHARED_KEYS, directory)
      .replace(CERTIFICATES, directory)
      .replace('IDENTITY', 'me');
    match(await blocksOf(printed), /^vda: .*nbd/m, `TLS: ${kind}`);
  }
});

// F3
test('a disk with sectors of 4096 bytes has them in the server, and in QEMU with what is printed', {
  skip: without('qemu-system-x86_64', 'nbdinfo'),
}, async () => {
  await using target = await openNbdTarget({
    ...{ clock: systemClock(), memory: guestMemory() },
    listen: { kind: 'unix', path: join(directory, 'large-sectors.sock') },
  });
  const how = { description: '', readOnly: false, sectorSize: 4096 } as const;
  const { uri } = target.export('vda', memoryDevice(pattern(65_536)), how);
  match(await program('nbdinfo', '--json', uri), /"block_size_minimum": 4096\b/);
  const args = qemuArguments([
    { disk: 'vda', address: target.address, tls: undefined, sectorSize: 4096 },
  ]);
  const tree = await monitor(shellWords(args), 'info qtree');
  match(tree, /logical_block_size = 4096 \(4 KiB\)/);
  match(tree, /physical_block_size = 4096 \(4 KiB\)/);
});

// D4
test('another user finds a disk at its socket if it is QEMU’s, and no other', {
  skip: process.getuid!() !== 0 ? 'needs root' : without('nbdinfo', 'setpriv'),
}, async () => {
  const [qemu, other] = [64_055, 65_534];
  const place = join(directory, 'sockets');
  mkdirSync(place);
  for (const path of [directory, place]) chmodSync(path, 0o755);
  await using server = await serveOne(memoryDevice(pattern(65_536)), {
    socket: join(place, 'vm.sock'),
    admitsProcess: (peer) =>
      mayOpenDisks(peer, (name) => (name === 'libvirt-qemu' ? qemu : undefined)),
  });
  const info = (uid: number): Promise<string> =>
    program(
      ...(['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'] as const),
      ...['nbdinfo', '--size', server.uri],
    );
  equal((await info(qemu)).trim(), '65536');
  equal((await info(0)).trim(), '65536');
  equal(await info(other).catch(() => 'refused'), 'refused');
});

// A11, over NBD
test('over TCP from this machine a user who may not is not served, and root is', {
  skip: process.getuid!() !== 0 ? 'needs root' : without('nbdinfo', 'setpriv'),
}, async () => {
  await using target = await openNbdTarget({
    ...{ clock: systemClock(), memory: guestMemory(), admitsUser: userMayOpenDisks },
    listen: { kind: 'tcp', host: '127.0.0.1', port: 0 },
  });
  target.export('vda', memoryDevice(pattern(65_536)), { description: '', readOnly: false });
  const uri = `nbd://127.0.0.1:${target.port}/vda`;
  const stranger = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] as const;
  equal((await program('nbdinfo', '--size', uri)).trim(), '65536');
  equal(await program(...stranger, 'nbdinfo', '--size', uri).catch(() => 'refused'), 'refused');
});
