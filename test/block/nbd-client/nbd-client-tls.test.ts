import { equal, match, ok, rejects } from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'tap';
import type { BlockError } from '../../../src/block/block-error.ts';
import { memoryDevice } from '../../../src/block/memory.ts';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import { encodeOptionReply, OPTION_REPLIES, OPTIONS } from '../../../src/formats/wire/nbd.ts';
import { openNbdTarget } from '../../../src/servers/nbd/server.ts';
import { guestMemory } from '../../../src/sessions/serve/guest-memory.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { certificateDirectory } from '../../support/certificates.ts';
import { fakeNbdServer, usual } from '../../support/fake-nbd-server.ts';
import { serveOne } from '../../support/nbd-server.ts';
import { program, without } from '../../support/programs.ts';
import { qemuNbd, type QemuNbd } from '../../support/qemu-nbd.ts';
import { pattern } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const root = temporaryDirectory();
const [trusted, other, noClient] = ['trusted', 'other', 'no-client'].map((it) =>
  join(root, it),
) as [string, string, string];
const bytes = pattern(2 ** 20);
const image = join(root, 'disk.raw');
const skip = without('qemu-nbd', 'openssl');
const KEY = '00112233445566778899aabbccddeeff';

before(async () => {
  writeFileSync(image, bytes);
  if (skip) return;
  await certificateDirectory(trusted, 'IP:127.0.0.1', 'DNS:kvm1.example');
  await certificateDirectory(other, 'IP:127.0.0.1', 'DNS:kvm1.example');
  mkdirSync(noClient);
  copyFileSync(join(trusted, 'ca-cert.pem'), join(noClient, 'ca-cert.pem'));
});

function fingerprintOf(directory: string): string {
  return new X509Certificate(readFileSync(join(directory, 'server-cert.pem'))).fingerprint256;
}

/** QEMU's server that speaks only TLS; `words` of its credentials. */
function secured(...words: readonly string[]): Promise<QemuNbd> {
  const object = ['tls-creds-x509,id=tls0,endpoint=server', `dir=${trusted}`, ...words].join(',');
  return qemuNbd('--object', object, '--tls-creds', 'tls0', '-r', '-f', 'raw', image);
}

const over = ({ socket }: { readonly socket: string }, query = ''): string =>
  `nbds+unix:///?socket=${socket}${query}`;

async function requireRead(uri: string): Promise<void> {
  await using disk = await openNbdDisk(uri);
  const found = new Uint8Array(bytes.length);
  await disk.read(found, 0);
  ok(Buffer.from(found).equals(bytes));
}

test('QEMU over TLS: its certificate is that of the authority, with the name', {
  skip,
}, async () => {
  await using server = await secured('verify-peer=yes');
  const certificates = `&tls-certificates=${trusted}`;
  await requireRead(over(server, certificates));
  await requireRead(over(server, `${certificates}&tls-hostname=kvm1.example`));
  await requireRead(over(server, `${certificates}&tls-hostname=127.0.0.1`));
  await rejects(openNbdDisk(over(server, `${certificates}&tls-hostname=kvm2.example`)), {
    code: 'DENIED',
    message: /is for another name than kvm2\.example: .*DNS:kvm1\.example/,
  });
  await rejects(openNbdDisk(over(server, `&tls-certificates=${other}`)), {
    code: 'DENIED',
    message:
      /not trusted: its authority is not one that is trusted here.*fingerprint is [0-9A-F:]{95}/,
  });
  await rejects(openNbdDisk(over(server, '&tls-hostname=kvm1.example')), { code: 'DENIED' });
});

test('a server that demands a certificate of ours says so', { skip }, async () => {
  await using server = await secured('verify-peer=yes');
  await rejects(openNbdDisk(over(server, `&tls-certificates=${noClient}`)), {
    code: 'DENIED',
    message:
      /ended the connection when TLS had begun.*does it demand a certificate.*client-cert\.pem/,
  });
  await using open = await secured('verify-peer=no');
  await requireRead(over(open, `&tls-certificates=${noClient}`));
});

test('a pinned fingerprint is enough, and the only one that is', { skip }, async () => {
  await using server = await secured('verify-peer=no');
  await requireRead(over(server, `&tls-fingerprint=${fingerprintOf(trusted)}`));
  const plain = fingerprintOf(trusted).replaceAll(':', '').toLowerCase();
  await requireRead(over(server, `&tls-fingerprint=${plain}`));
  await rejects(openNbdDisk(over(server, `&tls-fingerprint=${fingerprintOf(other)}`)), {
    code: 'DENIED',
    message: /has the SHA-256 fingerprint [0-9A-F:]{95}, not .*otherwise this is another server/,
  });
  const both = `&tls-fingerprint=${plain}&tls-certificates=`;
  await requireRead(over(server, both + trusted));
  await rejects(openNbdDisk(over(server, both + other)), {
    code: 'DENIED',
    message: /not trusted/,
  });
});

test('a server that wants TLS of a plain URI gives an error that says what to write', {
  skip,
}, async () => {
  await using server = await secured('verify-peer=no');
  await rejects(openNbdDisk(server.uri), ({ code, message }: BlockError) => {
    equal(code, 'IO');
    ok(message.startsWith(server.uri));
    match(message, /requires TLS: write nbds:\/\/ for nbd:\/\/, with tls-certificates=DIR/);
    return true;
  });
});

test('nothing is read from a server that refuses TLS', { skip: without('qemu-nbd') }, async () => {
  await using server = await qemuNbd('-r', '-f', 'raw', image);
  await rejects(openNbdDisk(over(server, `&tls-fingerprint=${KEY}${KEY}`)), {
    code: 'IO',
    message: /refuses TLS .*nothing was read/,
  });
  const asked: number[] = [];
  const socket = join(root, 'refuses.sock');
  await using _fake = await fakeNbdServer(socket, {
    option(option, data) {
      asked.push(option);
      if (option !== OPTIONS.startTls) return usual(4096)(option, data);
      return { bytes: encodeOptionReply(option, OPTION_REPLIES.unsupported) };
    },
  });
  await rejects(openNbdDisk(`nbds+unix:///?socket=${socket}&tls-fingerprint=${KEY}${KEY}`), {
    message: /refuses TLS/,
  });
  equal(asked.join(), String(OPTIONS.startTls), 'no other option is asked');
});

test('bytes in the clear behind the answer to STARTTLS count for nothing', async () => {
  const socket = join(root, 'injected.sock');
  await using _fake = await fakeNbdServer(socket, {
    option: (option) => {
      const ack = encodeOptionReply(option, OPTION_REPLIES.ack);
      return {
        bytes: Buffer.concat([ack, encodeOptionReply(OPTIONS.structuredReply, OPTION_REPLIES.ack)]),
      };
    },
  });
  await rejects(openNbdDisk(`nbds+unix:///?socket=${socket}&tls-fingerprint=${KEY}${KEY}`), {
    message: /sent data before TLS had begun/,
  });
});

test('a server that is silent in the middle of TLS is given up', async () => {
  const path = join(root, 'silent.sock');
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.write(Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), Buffer.from([0, 3])]));
    socket.on('error', () => {});
    let sent = false;
    socket.on('data', (part) => {
      if (sent || part.length < 16) return;
      sent = true;
      socket.write(encodeOptionReply(OPTIONS.startTls, OPTION_REPLIES.ack));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const uri = `nbds+unix:///?socket=${path}&tls-fingerprint=${KEY}${KEY}`;
  try {
    await rejects(openNbdDisk(uri, { silenceMs: 100 }), {
      code: 'UNREACHABLE',
      message: /does not answer during TLS/,
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

test('after TLS a server may be silent as long as it owes nothing', { skip }, async () => {
  await using server = await secured('verify-peer=no');
  const uri = over(server, `&tls-fingerprint=${fingerprintOf(trusted)}`);
  await using disk = await openNbdDisk(uri, { silenceMs: 1500 });
  await new Promise((resolve) => setTimeout(resolve, 2000));
  await disk.read(new Uint8Array(4096), 0);
});

test('over TCP the host of the URI is the name, and our own server may demand a certificate', {
  skip: without('openssl'),
}, async () => {
  const file = (name: string) => readFileSync(join(trusted, name));
  const credentials = {
    kind: 'x509',
    ...{ key: file('server-key.pem'), certificate: file('server-cert.pem') },
    authority: file('ca-cert.pem'),
  } as const;
  await using target = await openNbdTarget({
    ...{ clock: systemClock(), memory: guestMemory() },
    listen: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    tls: { mode: 'require', credentials },
  });
  await using served = target.export('vda', memoryDevice(bytes), {
    description: 'a disk',
    readOnly: true,
  });
  match(served.uri, /^nbds:\/\/127\.0\.0\.1:/);
  await requireRead(`${served.uri}?tls-certificates=${trusted}`);
  const elsewhere = served.uri.replace('127.0.0.1', 'localhost');
  await rejects(openNbdDisk(`${elsewhere}?tls-certificates=${trusted}`), {
    code: 'DENIED',
    message: /is for another name than localhost/,
  });
  await rejects(openNbdDisk(`${served.uri}?tls-certificates=${noClient}`), {
    code: 'DENIED',
    message: /does it demand a certificate/,
  });
});

test('keys in place of certificates: our own server, and libnbd’s', {
  skip: without('nbdkit'),
}, async () => {
  const file = join(root, 'keys.psk');
  writeFileSync(file, `alice:${KEY}\n`);
  const keyOf = (identity: string) => (identity === 'alice' ? Buffer.from(KEY, 'hex') : undefined);
  const tls = { mode: 'require', credentials: { kind: 'psk', keyOf } } as const;
  await using own = await serveOne(memoryDevice(bytes), { tls });
  const query = `&tls-psk-file=${file}`;
  await requireRead(`nbds+unix:///vda?socket=${own.socket}${query}`);
  await requireRead(`nbds+unix://alice@/vda?socket=${own.socket}${query}`);

  const socket = join(root, 'nbdkit.sock');
  const [pid] = [join(root, 'nbdkit.pid')];
  const words = [
    '-r',
    '-U',
    socket,
    '-P',
    pid,
    '--tls=require',
    `--tls-psk=${file}`,
    'file',
    image,
  ];
  await program('nbdkit', ...words);
  try {
    await requireRead(`nbds+unix:///?socket=${socket}${query}`);
    const wrong = join(root, 'wrong.psk');
    writeFileSync(wrong, `alice:${KEY.replaceAll('0', '1')}\n`);
    await rejects(openNbdDisk(`nbds+unix:///?socket=${socket}&tls-psk-file=${wrong}`));
  } finally {
    process.kill(Number(readFileSync(pid, 'utf8')));
  }
});

test('files of TLS that cannot be used are named, and nothing of them is quoted', {
  skip,
}, async () => {
  const open = (query: string) => openNbdDisk(`nbds+unix:///?socket=/nowhere&${query}`);
  const secret = join(root, 'secret');
  writeFileSync(secret, 'correct horse battery staple\n');
  await rejects(open(`tls-psk-file=${secret}`), ({ message }: Error) => {
    match(message, /secret: line 1 is not/);
    ok(!message.includes('horse'));
    return true;
  });
  writeFileSync(secret, `a:${KEY}\nb:${KEY}\n`);
  await rejects(open(`tls-psk-file=${secret}`), { message: /several keys: name one/ });
  const broken = join(root, 'broken');
  mkdirSync(broken);
  await rejects(open(`tls-certificates=${broken}`), { code: 'NOT_FOUND', message: /ca-cert\.pem/ });
  for (const name of ['ca-cert.pem', 'client-cert.pem'])
    copyFileSync(join(trusted, name), join(broken, name));
  await rejects(open(`tls-certificates=${broken}`), {
    code: 'NOT_FOUND',
    message: /client-key\.pem/,
  });
  copyFileSync(join(other, 'client-key.pem'), join(broken, 'client-key.pem'));
  await rejects(open(`tls-certificates=${broken}`), {
    message: /client-key\.pem is not the key of/,
  });
  rmSync(join(broken, 'client-key.pem'));
  writeFileSync(join(broken, 'ca-cert.pem'), 'nothing');
  await rejects(open(`tls-certificates=${broken}`), {
    message: /ca-cert\.pem is not a certificate/,
  });
  await rejects(open(''), { message: /does not say which server is meant/ });
});
