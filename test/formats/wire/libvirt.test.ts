import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { array, assert, constantFrom, integer, nat, property, tuple } from 'fast-check';
import { test } from 'tap';
import { FormatError } from '../../../src/formats/format-error.ts';
import {
  decodeBody,
  decodeFailure,
  decodeHeader,
  encodePacket,
  KEEPALIVE,
  LIBVIRT_ERRORS,
  LIBVIRT_PROGRAMS,
  LIBVIRT_VERSION,
  type LibvirtDomain,
  type LibvirtNamed,
  PACKET_STATUS,
  PACKET_TYPES,
  packetCutter,
  parameterValues,
} from '../../../src/formats/wire/libvirt.ts';
import {
  LIBVIRT_CALLS as CALLS,
  LIBVIRT_FLAGS as FLAGS,
  type LibvirtProcedure,
} from '../../../src/formats/wire/libvirt-calls.ts';
import { decodeEvent, LIBVIRT_EVENTS } from '../../../src/formats/wire/libvirt-events.ts';
import type { Layout } from '../../../src/formats/wire/xdr-layouts.ts';

// What python3-libvirt and libvirtd 9.0.0 said to each other, with what python3-libvirt made of it below.
const RECORDED = JSON.parse(
  readFileSync(new URL('../../fixtures/libvirt-9.0.json', import.meta.url), 'utf8'),
) as Readonly<
  Record<string, { readonly sent: readonly string[]; readonly received: readonly string[] }>
>;

const UUID = '5e1fc4ec-0000-4000-8000-000000000002';
const domain: LibvirtDomain = { name: 'web1', uuid: UUID, id: 1 };
const HEADER = {
  program: 1,
  version: LIBVIRT_VERSION,
  procedure: 1,
  type: 0,
  serial: 1,
  status: 0,
};
const checkpoint: LibvirtNamed = { name: 'holdfast-1', domain };

function packets(name: string, side: 'sent' | 'received'): Buffer[] {
  return RECORDED[name]![side].map((it) => Buffer.from(it, 'hex'));
}

function reply(name: string): Buffer {
  return packets(name, 'received').find((it) => decodeHeader(it).type === PACKET_TYPES.reply)!;
}

function assertSent<A, R>(name: string, procedure: LibvirtProcedure<A, R>, args: A): void {
  const [sent = Buffer.alloc(0)] = packets(name, 'sent').filter(
    (it) => decodeHeader(it).procedure === procedure.number,
  );
  const { serial } = decodeHeader(sent);
  const header = { ...HEADER, program: procedure.program, procedure: procedure.number, serial };
  const made = Buffer.from(encodePacket(header, procedure.arguments, args));
  equal(made.toString('hex'), sent.toString('hex'), name);
  deepEqual(decodeBody(sent, procedure.arguments), args);
}

test('calls have the bytes that libvirt itself sends', async () => {
  const nothing = undefined;
  assertSent('open', CALLS.authList, nothing);
  assertSent('open', CALLS.open, { uri: 'qemu:///system', flags: 0 });
  assertSent('registerBlockJob', CALLS.registerEvent, { event: 16, domain: undefined });
  assertSent('libVersion', CALLS.libVersion, nothing);
  assertSent('version', CALLS.version, nothing);
  assertSent('hostname', CALLS.hostname, nothing);
  assertSent('list', CALLS.listDomains, { wanted: 1, flags: 0 });
  assertSent('byUuid', CALLS.domainByUuid, { uuid: UUID });
  assertSent('byName', CALLS.domainByName, { name: 'web1' });
  const { secure, inactive } = FLAGS.domainXml;
  assertSent('xml', CALLS.domainXml, { domain, flags: secure | inactive });
  assertSent('state', CALLS.domainState, { domain, flags: 0 });
  assertSent('autostart', CALLS.autostart, { domain });
  assertSent('persistent', CALLS.isPersistent, { domain });
  assertSent('diskInfo', CALLS.diskInfo, { domain, disk: 'vda', flags: 0 });
  assertSent('snapshots', CALLS.snapshots, { domain, wanted: 1, flags: FLAGS.snapshots.internal });
});

test('calls about guests and backups have the bytes that libvirt itself sends', async () => {
  assertSent('freeze', CALLS.freeze, { domain, mounts: [], flags: 0 });
  assertSent('thaw', CALLS.thaw, { domain, mounts: ['/', '/var'], flags: 0 });
  const types = FLAGS.guestInfo.os | FLAGS.guestInfo.hostname;
  assertSent('guestInfo', CALLS.guestInfo, { domain, types, flags: 0 });
  const command = '{"execute":"guest-ping"}';
  assertSent('agent', CALLS.agentCommand, { domain, command, timeoutSeconds: 5, flags: 0 });
  const backup =
    "<domainbackup mode='pull'><server transport='unix' socket='/var/lib/libvirt/nbd'/><disks>" +
    "<disk name='vda' backup='yes' type='file'><scratch file='/var/lib/libvirt/scratch.qcow2'/>" +
    '</disk></disks></domainbackup>';
  const xml = '<domaincheckpoint><name>holdfast-1</name></domaincheckpoint>';
  assertSent('begin', CALLS.beginBackup, { domain, backup, checkpoint: xml, flags: 0 });
  assertSent('backupXml', CALLS.backupXml, { domain, flags: 0 });
  assertSent('jobInfo', CALLS.jobInfo, { domain });
  assertSent('jobStatsDone', CALLS.jobStats, { domain, flags: FLAGS.jobStats.completed });
  assertSent('abort', CALLS.abortJob, { domain });
  const { topological } = FLAGS.checkpoints;
  assertSent('checkpoints', CALLS.checkpoints, { domain, wanted: 1, flags: topological });
  assertSent('checkpointByName', CALLS.checkpointByName, { domain, name: 'holdfast-1', flags: 0 });
  const flags = FLAGS.checkpointXml.withoutDomain;
  assertSent('checkpointXml', CALLS.checkpointXml, { named: checkpoint, flags });
  assertSent('deleteCheckpoint', CALLS.deleteCheckpoint, { named: checkpoint, flags: 0 });
  const a = '<domaincheckpoint><name>a</name></domaincheckpoint>';
  assertSent('createCheckpoint', CALLS.createCheckpoint, { domain, xml: a, flags: 0 });
});

test('results are read as libvirt itself reads them', async () => {
  const result = <R>(name: string, { result: layout }: { readonly result: Layout<R> }): R =>
    decodeBody(reply(name), layout);
  const ways = packets('open', 'received').filter((it) => decodeHeader(it).procedure === 66);
  deepEqual(decodeBody(ways[0]!, CALLS.authList.result), ['none']);
  equal(result('libVersion', CALLS.libVersion), 9_000_000);
  equal(result('version', CALLS.version), 7_002_022);
  equal(result('hostname', CALLS.hostname), 'vm');
  deepEqual(result('list', CALLS.listDomains), { domains: [domain], count: 1 });
  deepEqual(result('byUuid', CALLS.domainByUuid), domain);
  deepEqual(result('byName', CALLS.domainByName), domain);
  ok(result('xml', CALLS.domainXml).startsWith("<domain type='qemu'>\n  <name>web1</name>"));
  deepEqual(result('state', CALLS.domainState), { state: 'running', reason: 5 });
  deepEqual(
    [result('autostart', CALLS.autostart), result('persistent', CALLS.isPersistent)],
    [0, 1],
  );
  const { capacity, physical } = result('diskInfo', CALLS.diskInfo);
  deepEqual([capacity, physical], [67_108_864, 196_616]);
  deepEqual(result('snapshots', CALLS.snapshots), { all: [], count: 0 });
  deepEqual(result('checkpoints', CALLS.checkpoints), { all: [checkpoint], count: 1 });
  deepEqual(result('checkpointByName', CALLS.checkpointByName), checkpoint);
  ok(result('checkpointXml', CALLS.checkpointXml).includes("bitmap='holdfast-1'"));
  deepEqual(result('createCheckpoint', CALLS.createCheckpoint), { name: 'a', domain });
  ok(result('backupXml', CALLS.backupXml).includes('domainbackup'));
  equal(result('jobInfo', CALLS.jobInfo).type, 'unbounded');
  const stats = result('jobStatsDone', CALLS.jobStats);
  const values = parameterValues(stats.parameters);
  deepEqual([stats.type, values.get('operation'), values.get('success')], ['completed', 9, true]);
  deepEqual(
    [values.get('disk_temp_total'), values.get('errmsg')],
    [67_108_864, 'Operation canceled'],
  );
});

test('failures are known by their numbers', async () => {
  const failure = (name: string) => {
    equal(decodeHeader(reply(name)).status, PACKET_STATUS.error);
    return decodeFailure(reply(name));
  };
  deepEqual(failure('noDomain'), {
    code: LIBVIRT_ERRORS.noDomain,
    domain: 10,
    message: "Domain not found: no domain with matching name 'web2'",
  });
  equal(failure('freeze').code, LIBVIRT_ERRORS.agentUnresponsive);
  equal(failure('agent').code, LIBVIRT_ERRORS.agentUnresponsive);
  equal(failure('noCheckpoint').code, LIBVIRT_ERRORS.noCheckpoint);
});

test('events say what happened to which machine', async () => {
  const events = ['startPaused', 'abort']
    .flatMap((it) => packets(it, 'received'))
    .flatMap((it) => {
      const { type, procedure } = decodeHeader(it);
      return type === PACKET_TYPES.message ? [decodeEvent(procedure, it)!] : [];
    });
  deepEqual(
    events.map((it) => it.kind),
    ['agent', 'lifecycle', 'lifecycle', 'job-completed', 'block-job'],
  );
  const [agent, started, , job, block] = events;
  deepEqual(agent, { kind: 'agent', callback: 3, domain, state: 'disconnected', reason: 1 });
  deepEqual(started, { kind: 'lifecycle', callback: 0, domain, event: 'started', detail: 0 });
  ok(job?.kind === 'job-completed' && parameterValues(job.parameters).get('success') === true);
  const { disk, type, status } = block as { disk: string; type: string; status: string };
  deepEqual([disk, type, status], ['vda', 'backup', 'cancelled']);
  equal(decodeEvent(9999, packets('abort', 'received')[0]!), undefined);
});

test('pings and pongs have the bytes that libvirt itself sends', async () => {
  const ping = packets('ka', 'sent')[0]!;
  const { program, procedure, type } = decodeHeader(ping);
  deepEqual([program, procedure, type], [LIBVIRT_PROGRAMS.keepalive, KEEPALIVE.ping, 2]);
  equal(decodeHeader(packets('ka', 'received')[0]!).procedure, KEEPALIVE.pong);
});

const EVERYTHING = Object.keys(RECORDED).flatMap((it) => packets(it, 'received'));

test('however a stream is cut, its packets come out whole', async () => {
  const stream = Buffer.concat(EVERYTHING);
  const pieces = array(integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 });
  assert(
    property(pieces, (lengths) => {
      const found: string[] = [];
      const cut = packetCutter((packet) => found.push(Buffer.from(packet).toString('hex')));
      for (let at = 0, i = 0; at < stream.length; i++) {
        const length = lengths[i % lengths.length]!;
        cut(stream.subarray(at, at + length));
        at += length;
      }
      deepEqual(
        found,
        EVERYTHING.map((it) => it.toString('hex')),
      );
    }),
    { numRuns: 30 },
  );
});

test('a length that cannot be is refused as soon as it has arrived', async () => {
  for (const length of [0, 4, 27, 33_554_433 + 4, 0xffff_ffff]) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(length);
    throws(() => packetCutter(() => {})(bytes), { code: 'CORRUPT' }, String(length));
    const cut = packetCutter(() => {});
    cut(bytes.subarray(0, 3));
    throws(() => cut(bytes.subarray(3)), { code: 'CORRUPT' }, String(length));
  }
});

test('a large packet that never comes takes no memory', async () => {
  const head = Buffer.alloc(1000);
  head.writeUInt32BE(33_554_432);
  const before = process.memoryUsage().arrayBuffers;
  const cutters = Array.from({ length: 64 }, () => packetCutter(() => {}));
  for (const cut of cutters) cut(head);
  const grown = process.memoryUsage().arrayBuffers - before;
  ok(grown < 64 * 200_000, `${grown} bytes for ${cutters.length} beginnings`);
});

test('damaged and truncated packets are a value or an error of the format', async () => {
  const layouts = [
    ...Object.values(CALLS).map((it) => it.result as Layout<unknown>),
    ...Object.values(LIBVIRT_EVENTS).map((it) => it.layout as Layout<unknown>),
  ];
  const change = tuple(nat(), nat(), integer({ min: 0, max: 255 }), nat());
  assert(
    property(change, constantFrom(...layouts), ([which, where, value, end], layout) => {
      const packet = Buffer.from(EVERYTHING[which % EVERYTHING.length]!);
      packet[where % packet.length] = value;
      const cut = packet.subarray(0, Math.max(28, end % (packet.length * 2)));
      for (const decode of [() => decodeBody(cut, layout), () => decodeFailure(cut)]) {
        try {
          decode();
        } catch (error) {
          ok(error instanceof FormatError, String(error));
        }
      }
    }),
    { numRuns: 3000 },
  );
});

test('lists and texts beyond their limits are refused in both directions', async () => {
  const list = Buffer.from(
    encodePacket(HEADER, CALLS.listDomains.result, { domains: [], count: 0 }),
  );
  list.writeUInt32BE(16_385, 28);
  throws(() => decodeBody(list, CALLS.listDomains.result), { code: 'CORRUPT' });
  list.writeUInt32BE(16_384, 28);
  throws(() => decodeBody(list, CALLS.listDomains.result), { code: 'TRUNCATED' });
  const text = Buffer.from(encodePacket(HEADER, CALLS.hostname.result, 'x'));
  text.writeUInt32BE(4_194_305, 28);
  throws(() => decodeBody(text, CALLS.hostname.result), { code: 'CORRUPT' });
  const long = 'x'.repeat(4_194_305);
  throws(() => encodePacket(HEADER, CALLS.hostname.result, long), { code: 'CORRUPT' });
  throws(() => encodePacket(HEADER, CALLS.domainByUuid.arguments, { uuid: 'x' }), {
    code: 'CORRUPT',
  });
  const more = Buffer.concat([encodePacket(HEADER, CALLS.autostart.result, 1), Buffer.alloc(4)]);
  throws(() => decodeBody(more, CALLS.autostart.result), /4 bytes beyond/);
});

test('typed parameters keep their values, whatever their types', async () => {
  const parameters = [
    { field: 'a', type: 'int', value: -7 },
    { field: 'b', type: 'unsigned', value: 4_294_967_295 },
    { field: 'c', type: 'long', value: -(2 ** 40) - 1 },
    { field: 'd', type: 'unsignedLong', value: 2 ** 52 },
    { field: 'e', type: 'double', value: 0.1 },
    { field: 'f', type: 'boolean', value: true },
    { field: 'os.name', type: 'text', value: 'Ubuntu – 24.04' },
  ] as const;
  const { result } = CALLS.guestInfo;
  deepEqual(decodeBody(encodePacket(HEADER, result, parameters), result), parameters);
});

test('a guest whose name is not UTF-8 does not hide the rest', async () => {
  const { result } = CALLS.guestInfo;
  const packet = Buffer.from(
    encodePacket(HEADER, result, [{ field: 'n', type: 'text', value: 'aXb' }]),
  );
  packet[packet.indexOf('X')] = 0xff;
  equal(parameterValues(decodeBody(packet, result)).get('n'), 'a\u{fffd}b');
});
