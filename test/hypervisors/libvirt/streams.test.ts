import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { type PacketHeader, streamBytes } from '../../../src/formats/wire/libvirt.ts';
import { LIBVIRT_CALLS as CALLS } from '../../../src/formats/wire/libvirt-calls.ts';
import {
  I32,
  type Layout,
  NOTHING,
  optional,
  struct,
  text,
} from '../../../src/formats/wire/xdr-layouts.ts';
import { libvirtPeer, openPeer } from '../../support/libvirt-peer.ts';
import { noise } from '../../support/random.ts';
import { until } from '../../support/until.ts';

const WHOLE = {
  volume: { pool: 'files', name: 'web1_VARS.fd', key: '/nvram/web1_VARS.fd' },
  ...{ offset: 0, length: 0, flags: 0 },
};
const STREAM = 3;
const CONTINUE = 2;

/** Bytes of any number, without padding. */
const bytesOf = (bytes: Uint8Array): Layout<undefined> => ({
  size: () => bytes.length,
  write: (writer) => writer.fixed(bytes),
  read: () => undefined,
});

test('a file that libvirt streams is received whole, whatever its pieces', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  const ends: PacketHeader[] = [];
  server.onCall = (header) => {
    if (header.type === STREAM) {
      ends.push(header);
      return server.send({ ...header, status: 0 }, NOTHING, undefined);
    }
    server.reply(header, NOTHING, undefined);
    for (const piece of ['firm', 'ware', '']) {
      const about = { ...header, type: STREAM, status: CONTINUE };
      server.send(about, bytesOf(Buffer.from(piece)), undefined);
    }
  };
  const options = { lengthMax: 8 };
  const got = await link.download(CALLS.downloadVolume, WHOLE, options);
  equal(Buffer.from(got).toString(), 'firmware');
  deepEqual(
    ends.map(({ procedure, status }) => [procedure, status]),
    [[209, 0]],
  );
});

test('what a thread of libvirtd streams before another one replies is part of the file', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  server.onCall = (header) => {
    if (header.type === STREAM) return server.send({ ...header, status: 0 }, NOTHING, undefined);
    if (header.procedure === CALLS.hostname.number) {
      return server.reply(header, CALLS.hostname.result, 'kvm1');
    }
    const send = (piece: string): void => {
      const about = { ...header, type: STREAM, status: CONTINUE };
      server.send(about, bytesOf(Buffer.from(piece)), undefined);
    };
    send('firm');
    send('wa');
    server.reply(header, NOTHING, undefined);
    send('re');
    send('');
  };
  for (let times = 0; times < 2; times++) {
    const got = await link.download(CALLS.downloadVolume, WHOLE, { lengthMax: 8 });
    equal(Buffer.from(got).toString(), 'firmware');
  }
  const tooLong = link.download(CALLS.downloadVolume, WHOLE, { lengthMax: 5 });
  await rejects(tooLong, { code: 'FAILED', message: /more than 5 bytes/ });
  equal(await link.call(CALLS.hostname, undefined), 'kvm1');
});

test('a stream that is too long, fails or is not waited for is ended, and the connection goes on', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  const ends: number[] = [];
  const calls: PacketHeader[] = [];
  server.onCall = (header) => {
    if (header.procedure === CALLS.hostname.number) {
      return server.reply(header, CALLS.hostname.result, 'kvm1');
    }
    if (header.type === STREAM) return void ends.push(header.status);
    calls.push(header);
    server.reply(header, NOTHING, undefined);
    const about = { ...header, type: STREAM, status: CONTINUE };
    server.send(about, bytesOf(Buffer.from('firmware')), undefined);
  };
  await rejects(link.download(CALLS.downloadVolume, WHOLE, { lengthMax: 7 }), {
    code: 'FAILED',
    message: /more than 7 bytes/,
  });
  const leaving = new AbortController();
  const left = link.download(CALLS.downloadVolume, WHOLE, {
    ...{ lengthMax: 100, signal: leaving.signal },
  });
  await until('the call', () => calls.length === 2);
  await link.call(CALLS.hostname, undefined);
  leaving.abort(new Error('enough'));
  await rejects(left, { message: 'enough' });
  const failing = link.download(CALLS.downloadVolume, WHOLE, { lengthMax: 100 });
  await until('the call', () => calls.length === 3);
  const failure = struct({ code: I32, domain: I32, message: optional(text(100)) });
  const about = { ...calls[2]!, type: STREAM, status: 1 };
  server.send(about, failure, { code: 38, domain: 0, message: 'read error' });
  await rejects(failing, { code: 'FAILED', message: /read error/ });
  equal(await link.call(CALLS.hostname, undefined), 'kvm1');
  deepEqual(ends, [1, 1]);
});

test('a file is sent whole, and is there once libvirt has written it', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  const file = noise(600_000, 1);
  const parts: Uint8Array[] = [];
  const ends: PacketHeader[] = [];
  server.onCall = (header, packet) => {
    if (header.type !== STREAM) return server.reply(header, NOTHING, undefined);
    if (header.status === CONTINUE) parts.push(Uint8Array.from(streamBytes(packet)));
    else ends.push(header);
  };
  let isDone = false;
  const sending = link
    .upload(CALLS.uploadVolume, { ...WHOLE, length: file.length }, { bytes: file })
    .then(() => (isDone = true));
  await until('its end', () => ends.length === 1);
  equal(isDone, false);
  equal(ends[0]?.status, 0);
  ok(parts.every(({ length }) => length > 0 && length <= 256 * 1024));
  deepEqual(Buffer.concat(parts), Buffer.from(file));
  server.send({ ...ends[0], status: 0 }, NOTHING, undefined);
  await sending;
});

test('a file that libvirt cannot write, or whose sender has gone, is not there', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  const ends: PacketHeader[] = [];
  server.onCall = (header) => {
    if (header.type !== STREAM) server.reply(header, NOTHING, undefined);
    else if (header.status !== CONTINUE) ends.push(header);
  };
  const bytes = noise(1000, 1);
  const failing = link.upload(CALLS.uploadVolume, WHOLE, { bytes });
  await until('its end', () => ends.length === 1);
  const failure = struct({ code: I32, domain: I32, message: optional(text(100)) });
  server.send({ ...ends[0]!, status: 1 }, failure, { code: 38, domain: 0, message: 'no space' });
  await rejects(failing, { code: 'FAILED', message: /no space/ });
  const leaving = new AbortController();
  const left = link.upload(CALLS.uploadVolume, WHOLE, { bytes, signal: leaving.signal });
  await until('its end', () => ends.length === 2);
  leaving.abort(new Error('enough'));
  await rejects(left, { message: 'enough' });
  await until('libvirt hears of it', () => ends[2]?.status === 1);
});

test('a stream ends with its connection', async () => {
  await using server = await libvirtPeer();
  const link = await openPeer(server.path);
  server.onCall = (header) => {
    if (header.type !== STREAM) server.reply(header, NOTHING, undefined);
  };
  const cut = link.download(CALLS.downloadVolume, WHOLE, { lengthMax: 100 });
  await until('the call', () => server.heard.some(({ procedure }) => procedure === 209));
  server.end();
  await rejects(cut, { code: 'UNREACHABLE' });
  await link[Symbol.asyncDispose]();
});
