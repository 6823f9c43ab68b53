import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import {
  decodeBody,
  encodePacket,
  KEEPALIVE,
  LIBVIRT_PROGRAMS,
  type PacketHeader,
} from '../../../src/formats/wire/libvirt.ts';
import { LIBVIRT_CALLS as CALLS } from '../../../src/formats/wire/libvirt-calls.ts';
import { LIBVIRT_EVENTS } from '../../../src/formats/wire/libvirt-events.ts';
import { NOTHING } from '../../../src/formats/wire/xdr-layouts.ts';
import { isNumber } from '../../../src/hypervisors/libvirt/libvirt-error.ts';
import type { Link } from '../../../src/hypervisors/libvirt/link.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { libvirtPeer, openPeer } from '../../support/libvirt-peer.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';

const domain = { name: 'web1', uuid: '5e1fc4ec-0000-4000-8000-000000000002', id: 1 };

const hostname = (link: Link, signal?: AbortSignal) => link.call(CALLS.hostname, undefined, signal);

test('a connection asks how to log in, logs in and opens QEMU', async () => {
  await using server = await libvirtPeer();
  server.answerWays = ['polkit'];
  await using link = await openPeer(server.path);
  deepEqual(
    server.heard.map(({ procedure }) => procedure),
    [66, 70, 1],
  );
  const { uri } = decodeBody(server.heard[2]!.packet, CALLS.open.arguments);
  equal(uri, 'qemu:///system');
  ok(link);
});

test('a way to log in that is not spoken is refused in words', async () => {
  await using server = await libvirtPeer();
  server.answerWays = ['sasl'];
  await rejects(openPeer(server.path), { code: 'UNSUPPORTED', message: /\(sasl\)/ });
});

test('replies in another order reach their callers', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  const calls: PacketHeader[] = [];
  server.onCall = (header) => void calls.push(header);
  const both = Promise.all([hostname(link), link.call(CALLS.version, undefined)]);
  await until('two calls', () => calls.length === 2);
  server.reply(calls[1]!, CALLS.version.result, 7_002_022);
  server.reply(calls[0]!, CALLS.hostname.result, 'kvm1');
  deepEqual(await both, ['kvm1', 7_002_022]);
});

test('at most as many calls are sent at once as libvirtd reads, and an urgent one has a place', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  const calls: PacketHeader[] = [];
  server.onCall = (header) => void calls.push(header);
  const all = Array.from({ length: 10 }, () => hostname(link));
  const thaw = link.call(CALLS.thaw, { domain, mounts: [], flags: 0 }, undefined, {
    isUrgent: true,
  });
  await until('calls', () => calls.length >= 4);
  server.send({}, NOTHING, undefined);
  await new Promise((resolve) => setTimeout(resolve, 50));
  deepEqual(
    calls.map(({ procedure }) => procedure),
    [59, 59, 59, 336],
  );
  server.onCall = (header) => server.reply(header, CALLS.hostname.result, 'kvm1');
  server.reply(calls[3]!, CALLS.thaw.result, 1);
  for (const call of calls.slice(0, 3)) server.reply(call, CALLS.hostname.result, 'kvm1');
  equal(await thaw, 1);
  equal((await Promise.all(all)).length, 10);
});

test('a refusal is known by its number, and has a code of ours', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  const failure = Buffer.from(
    '0000002a0000000a000000010000000c6e6f2073756368207468696e67000000'.slice(0, 56),
    'hex',
  );
  server.onCall = ({ serial, procedure }) => {
    const head = Buffer.from(
      encodePacket(
        { program: LIBVIRT_PROGRAMS.remote, version: 1, procedure, type: 1, serial, status: 1 },
        NOTHING,
        undefined,
      ),
    );
    head.writeUInt32BE(head.length + failure.length);
    server.raw(Buffer.concat([head, failure]));
  };
  const refused = await hostname(link).catch((error: unknown) => error);
  equal(isNumber(refused, 55), false);
  ok(isNumber(refused, 55, 42));
  deepEqual([refused.code, refused.message], ['NOT_FOUND', 'libvirt: no such thin']);
  match(refused.native ?? '', /^hostname: libvirt error 42 in part 10/);
});

test('an aborted call rejects at once, and keeps its place until libvirt has ended it', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  const calls: PacketHeader[] = [];
  server.onCall = (header) => void calls.push(header);
  const abort = new AbortController();
  const all = Array.from({ length: 3 }, () => hostname(link, abort.signal));
  const fourth = hostname(link);
  const stopped = new Error('stopped');
  abort.abort(stopped);
  for (const it of all) await rejects(it, stopped);
  await rejects(hostname(link, abort.signal), stopped);
  await until('three calls', () => calls.length >= 3);
  equal(calls.length, 3);
  server.onCall = (header) => server.reply(header, CALLS.hostname.result, 'late');
  server.reply(calls[0]!, CALLS.hostname.result, 'too late');
  equal(await fourth, 'late');
});

test('a call without a reply is given up in time', async () => {
  const clock = fakeClock('2026-01-01T00:00:00Z');
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path, clock);
  // It answers pings: it is there, and busy.
  server.onCall = ({ program }) => {
    if (program === LIBVIRT_PROGRAMS.keepalive) {
      server.send({ program, procedure: KEEPALIVE.pong }, NOTHING, undefined);
    }
  };
  const slow = rejects(hostname(link), { code: 'UNREACHABLE', message: /"hostname" in time/ });
  for (let i = 0; i < 62; i++) await clock.advance(1000);
  await slow;
});

test('a host that has gone without a word is noticed, and all calls say so', async () => {
  const clock = fakeClock('2026-01-01T00:00:00Z');
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path, clock);
  const waits = rejects(hostname(link), { code: 'UNREACHABLE', message: /silent for 30 seconds/ });
  let isOver = false;
  void link.ended.then(() => (isOver = true));
  for (let i = 0; i < 31; i++) await clock.advance(1000);
  await until('the end is noticed', () => isOver);
  await waits;
  equal((await link.ended)?.code, 'UNREACHABLE');
  const pings = server.heard.filter(({ program }) => program === LIBVIRT_PROGRAMS.keepalive);
  equal(pings.length, 5);
  await rejects(hostname(link), { code: 'UNREACHABLE' });
});

test('pings of libvirt are answered', async () => {
  await using server = await libvirtPeer();
  await using _link = await openPeer(server.path);
  const { keepalive: program } = LIBVIRT_PROGRAMS;
  server.send({ program, procedure: KEEPALIVE.ping }, NOTHING, undefined);
  const isPong = (it: PacketHeader): boolean => it.program === program && it.procedure === 2;
  await until('a pong', () => server.heard.some(isPong));
});

test('events reach those who listen to their kind, also before the registration is answered', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  const { procedure, layout } = LIBVIRT_EVENTS.lifecycle;
  const event = { callback: 7, domain, event: 'started', detail: 0 } as const;
  server.onCall = (header) => {
    server.send({ procedure }, layout, event);
    server.reply(header, CALLS.registerEvent.result, 7);
  };
  const seen: string[] = [];
  const stop = await link.listen('lifecycle', (it) => seen.push(`${it.domain.name} ${it.event}`));
  const again: string[] = [];
  await link.listen('lifecycle', (it) => again.push(it.event));
  equal(server.heard.filter((it) => it.procedure === CALLS.registerEvent.number).length, 1);
  deepEqual([seen, again], [['web1 started'], []]);
  stop();
  server.send({ procedure }, layout, { ...event, event: 'stopped' });
  server.send({ procedure: 9999 }, layout, event);
  await until('the event', () => again.length === 1);
  deepEqual([seen, again], [['web1 started'], ['stopped']]);
});

test('when libvirtd ends the connection, calls say that their effect is not known', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  server.onCall = () => server.end();
  const [first, ...waiting] = await Promise.allSettled(
    Array.from({ length: 5 }, () => hostname(link)),
  );
  match(
    String((first as PromiseRejectedResult).reason),
    /whether "hostname" was done is not known/,
  );
  // These were never sent.
  match(String((waiting[3] as PromiseRejectedResult).reason), /ended the connection$/);
  equal((await link.ended)?.code, 'UNREACHABLE');
});

test('what does not speak as libvirt does is ended, in bounded memory', async () => {
  for (const bytes of [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), Buffer.alloc(64)]) {
    await using server = await libvirtPeer();
    await using link = await openPeer(server.path);
    server.onCall = () => server.raw(bytes);
    await rejects(hostname(link), { code: 'FAILED', message: /does not speak as libvirt does/ });
    equal((await link.ended)?.code, 'FAILED');
  }
});

test('a reply that cannot be read fails its call, and only that', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  server.onCall = (header) => server.reply(header, CALLS.version.result, 1);
  await rejects(hostname(link), { code: 'FAILED', message: /reply of libvirt to "hostname"/ });
  equal(await link.call(CALLS.version, undefined), 1);
});

test('a text that is too long is never sent', async () => {
  await using server = await libvirtPeer();
  await using link = await openPeer(server.path);
  const name = 'x'.repeat(5_000_000);
  await rejects(link.call(CALLS.domainByName, { name }), { code: 'UNSUPPORTED' });
  server.onCall = (header) => server.reply(header, CALLS.hostname.result, 'kvm1');
  equal(await hostname(link), 'kvm1');
});

test('closing waits for calls under way, and refuses later ones', async () => {
  await using server = await libvirtPeer();
  const link = await openPeer(server.path);
  const calls: PacketHeader[] = [];
  server.onCall = (header) => void calls.push(header);
  const name = hostname(link);
  await until('a call', () => calls.length === 1);
  const closed = link[Symbol.asyncDispose]();
  await rejects(hostname(link), /closed/);
  server.reply(calls[0]!, CALLS.hostname.result, 'kvm1');
  equal(await name, 'kvm1');
  await closed;
  equal(await link.ended, undefined);
  await link[Symbol.asyncDispose]();
});

test('closing does not wait for a call that never ends', async () => {
  const clock = fakeClock('2026-01-01T00:00:00Z');
  await using server = await libvirtPeer();
  const link = await openPeer(server.path, clock);
  const call = rejects(hostname(link), /not known/);
  const closed = link[Symbol.asyncDispose]();
  for (let i = 0; i < 6; i++) await clock.advance(1000);
  await closed;
  await call;
});

test('a socket that is not there says how libvirtd is started', async () => {
  await rejects(openPeer(join(temporaryDirectory(), 'none')), {
    code: 'UNREACHABLE',
    message: /systemctl start libvirtd/,
  });
});

test('opening can be aborted', async () => {
  await using server = await libvirtPeer();
  server.answerWays = [];
  const abort = new AbortController();
  const opening = openPeer(server.path, systemClock(), abort.signal);
  abort.abort(new Error('stopped'));
  await rejects(opening, /stopped/);
});
