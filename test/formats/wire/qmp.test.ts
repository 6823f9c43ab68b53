import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import {
  array,
  assert,
  constantFrom,
  integer,
  jsonValue,
  property,
  string,
  uint8Array,
} from 'fast-check';
import { test } from 'tap';
import { FormatError } from '../../../src/formats/format-error.ts';
import {
  drivesIn,
  exportsIn,
  jobsIn,
  memoryIn,
  nodesIn,
  processorsIn,
  propertiesIn,
  statusIn,
  tpmsIn,
  uuidIn,
} from '../../../src/formats/wire/qmp-answers.ts';
import {
  decodeQmpMessage,
  encodeQmpCommand,
  lineCutter,
  type QmpMessage,
} from '../../../src/formats/wire/qmp.ts';
import { utf8 } from '../../../src/lib/bytes.ts';

// Answers as QEMU 7.2 gave them, shortened where nothing is read.
const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}';
const DRIVES = JSON.parse(`[
  {"io-status": "ok", "device": "virtio0", "locked": false, "removable": false, "inserted": {"iops_rd": 0,
   "image": {"virtual-size": 262144, "filename": "/v/b.raw", "format": "raw"}, "ro": false, "node-name": "#block101",
   "backing_file_depth": 0, "drv": "raw", "file": "/v/b.raw"},
   "qdev": "/machine/peripheral-anon/device[0]/virtio-backend",
   "type": "unknown"},
  {"device": "", "removable": true, "qdev": "sda", "tray_open": false, "type": "unknown"},
  {"device": "", "removable": false, "inserted": {"image": {"virtual-size": 262144, "snapshots": [{"id": "1",
   "name": "before-upgrade", "vm-state-size": 0}]}, "ro": true, "node-name": "vda", "drv": "qcow2",
   "file": "/v/a.qcow2"}, "qdev": "vda", "type": "unknown"}]`) as unknown;
const NODES = JSON.parse(`[{"node-name": "vda", "ro": false, "drv": "qcow2", "dirty-bitmaps": [
  {"name": "one", "recording": true, "persistent": true, "busy": false, "granularity": 65536, "count": 0},
  {"name": "two", "recording": false, "persistent": true, "inconsistent": true, "busy": false, "granularity": 65536,
   "count": 0}, {"recording": false, "busy": false, "granularity": 65536, "count": 1}]}]`) as unknown;

const decode = (line: string): QmpMessage => decodeQmpMessage(utf8(line));

test('each kind of message is told from the others', async () => {
  deepEqual(decode(GREETING), {
    kind: 'greeting',
    version: { major: 7, minor: 2, micro: 22 },
  });
  deepEqual(decode('{"return": {}, "id": 3}'), { kind: 'reply', id: 3, value: {} });
  deepEqual(decode('{"return": 5}'), { kind: 'reply', id: undefined, value: 5 });
  deepEqual(decode('{"id": 4, "error": {"class": "CommandNotFound", "desc": "no"}}'), {
    kind: 'failure',
    id: 4,
    failure: { class: 'CommandNotFound', text: 'no' },
  });
  const event = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "return": 1}';
  deepEqual(decode(event), { kind: 'event', name: 'STOP' });
});

test('a command is one line', async () => {
  const args = { 'node-name': 'a\nb' };
  const line = Buffer.from(encodeQmpCommand({ name: 'blockdev-del', args, id: 7 })).toString();
  equal(line.indexOf('\n'), line.length - 1);
  deepEqual(JSON.parse(line), { execute: 'blockdev-del', arguments: args, id: 7 });
  const bare = encodeQmpCommand({ name: 'guest-ping', args: undefined, id: undefined });
  equal(Buffer.from(bare).toString(), '{"execute":"guest-ping"}\n');
});

test('answers of QEMU are read, with the fields that are used', async () => {
  const [raw, empty, qcow2] = drivesIn(DRIVES);
  deepEqual(raw, {
    device: 'virtio0',
    qdev: '/machine/peripheral-anon/device[0]/virtio-backend',
    isRemovable: false,
    medium: {
      ...{ node: '#block101', driver: 'raw', isReadOnly: false, file: '/v/b.raw' },
      ...{ size: 262_144, snapshots: [] },
    },
  });
  deepEqual([empty?.isRemovable, empty?.medium], [true, undefined]);
  deepEqual([qcow2?.medium?.isReadOnly, qcow2?.medium?.snapshots], [true, ['before-upgrade']]);
  deepEqual(nodesIn(NODES), [
    {
      ...{ name: 'vda', isReadOnly: false },
      bitmaps: [
        { name: 'one', isRecording: true, isInconsistent: false },
        { name: 'two', isRecording: false, isInconsistent: true },
        { name: undefined, isRecording: false, isInconsistent: false },
      ],
    },
  ]);
  const jobs = [{ id: 'j', status: 'concluded', error: 'no space', type: 'create' }];
  deepEqual(jobsIn(jobs), [{ id: 'j', status: 'concluded', error: 'no space' }]);
  deepEqual(exportsIn([{ 'node-name': 'n', 'shutting-down': false, type: 'nbd', id: 'e' }]), ['e']);
  equal(memoryIn({ 'base-memory': 16, 'plugged-memory': 4 }), 20);
  deepEqual(tpmsIn([{ model: 'tpm-crb', id: 't', options: {} }]), ['tpm-crb']);
  equal(statusIn({ status: 'running', singlestep: false, running: true }), 'running');
  equal(
    uuidIn({ UUID: '5E1FC4EC-0000-4000-8000-000000000002' }),
    '5e1fc4ec-0000-4000-8000-000000000002',
  );
  equal(uuidIn({ UUID: '00000000-0000-0000-0000-000000000000' }), undefined);
});

test('texts, lists and lines beyond their limits are refused', async () => {
  throws(() => jobsIn([{ id: 'x'.repeat(4097), status: 'a' }]), { code: 'CORRUPT' });
  throws(() => exportsIn(Array.from({ length: 100_001 }, () => ({ id: 'x' }))), {
    code: 'CORRUPT',
  });
  throws(() => memoryIn({ 'base-memory': 1.5 }), { code: 'CORRUPT' });
  throws(() => uuidIn({ UUID: 'none' }), { code: 'CORRUPT' });
  const failure = decode(`{"error": {"class": 1, "desc": "${'y'.repeat(5000)}"}}`);
  ok(failure.kind === 'failure');
  deepEqual([failure.failure.class, failure.failure.text.length], ['GenericError', 4096]);
  const cut = lineCutter(() => {}, 10);
  cut(utf8('0123456789'));
  throws(() => cut(utf8('x')), { code: 'CORRUPT' });
});

test('a stream is cut into the same lines, however it comes', async () => {
  const lines = array(
    string({ maxLength: 40 }).map((it) => JSON.stringify(it)),
    { maxLength: 8 },
  );
  assert(
    property(lines, array(integer({ min: 1, max: 30 })), (texts, sizes) => {
      const stream = Buffer.from(texts.map((it) => `${it}\r\n`).join(''));
      const found: string[] = [];
      const cut = lineCutter((line) => found.push(Buffer.from(line).toString()));
      let at = 0;
      for (let n = 0; at < stream.length; n++) {
        const length = sizes.length === 0 ? stream.length : sizes[n % sizes.length]!;
        cut(stream.subarray(at, at + length));
        at += length;
      }
      deepEqual(found, texts);
    }),
  );
});

test('what the guest agent puts before a line is left out, and empty lines are', async () => {
  const found: string[] = [];
  const cut = lineCutter((line) => found.push(Buffer.from(line).toString()));
  cut(Buffer.concat([Buffer.from('half\xff\xff', 'latin1'), Buffer.from('{"return": 1}\n\r\n\n')]));
  deepEqual(found, ['{"return": 1}']);
});

test('whatever comes is a value or a FormatError', async () => {
  const readers = [
    ...[drivesIn, nodesIn, jobsIn, exportsIn, processorsIn, propertiesIn, tpmsIn],
    ...[memoryIn, statusIn, uuidIn],
  ];
  const refused = (work: () => unknown): void => {
    try {
      work();
    } catch (cause) {
      ok(cause instanceof FormatError, String(cause));
    }
  };
  assert(
    property(uint8Array({ maxLength: 200 }), (bytes) => refused(() => decodeQmpMessage(bytes))),
  );
  assert(
    property(jsonValue(), constantFrom(...readers), (value, read) => refused(() => read(value))),
    { numRuns: 2000 },
  );
  // True answers, in which one value is another.
  const keys = [...new Set(JSON.stringify([DRIVES, NODES]).match(/(?<=")[\w-]+(?=":)/g))];
  assert(
    property(constantFrom(...keys), jsonValue(), (key, value) => {
      const changed = (answer: unknown): unknown =>
        JSON.parse(JSON.stringify(answer), (name, it: unknown) => (name === key ? value : it));
      refused(() => drivesIn(changed(DRIVES)));
      refused(() => nodesIn(changed(NODES)));
    }),
    { numRuns: 500 },
  );
});
