import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'tap';
import { FormatError } from '../../../src/formats/format-error.ts';
import { keyedHash } from '../../../src/formats/store/base/digest.ts';
import { FRAME_LENGTH_MAX } from '../../../src/formats/store/packs/frame.ts';
import { decodeGrowth, encodeGrowth } from '../../../src/formats/store/service/growth.ts';
import {
  decodeHypervisor,
  encodeHypervisor,
  type HypervisorRecord,
} from '../../../src/formats/store/service/hypervisor.ts';
import { encodeJsonRecord, hex } from '../../../src/formats/store/base/json-record.ts';
import { domainKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import {
  decodePoint,
  encodePoint,
  LARGE_SECTOR,
} from '../../../src/formats/store/catalog/point.ts';
import { decodeProfile, encodeProfile } from '../../../src/formats/store/catalog/profile.ts';
import { decodeDebt, encodeDebt } from '../../../src/formats/store/sessions/debt.ts';
import { decodeServed, encodeServed } from '../../../src/formats/store/sessions/served.ts';
import {
  decodeSession,
  encodeSession,
  type SessionRecord,
} from '../../../src/formats/store/sessions/session.ts';
import { MACHINE_FIELDS, POINT as WITHOUT_PARENT } from '../../support/point-record.ts';
import { pattern } from '../../support/random.ts';

const KEY = domainKeys(pattern(32)).record;
const POINT = {
  ...WITHOUT_PARENT,
  disks: WITHOUT_PARENT.disks.map((it, at) => (at > 0 ? { ...it, sectorSize: LARGE_SECTOR } : it)),
  parent: 'vm1-20261120T013000Z-000000',
};
const SESSION: SessionRecord = {
  id: 'vm1-aabbcc',
  created: POINT.created,
  set: 'nightly',
  point: POINT.id,
  machine: 'vm1',
  disks: [
    { name: 'vda', size: 512 },
    { name: 'vdb', size: 8192, sectorSize: 4096 },
  ],
  listen: 'unix:/x',
  tls: true,
  nfs: {
    host: '10.0.0.1',
    ports: { nfs: 2049, mount: 20_048, portmap: 0 },
    allow: ['10.0.0.0/8'],
    readOnly: true,
    squash: 'root',
    privilegedPorts: true,
    points: false,
  },
  whenFull: 'pause',
  phase: 'keeping',
  keepAs: 'vm1-x',
  sealed: { begun: ['vda'], overPlain: true },
  placement: undefined,
};
const PLACED: SessionRecord = {
  ...SESSION,
  phase: 'copying',
  placement: {
    hypervisor: 'kvm1',
    plan: {
      ...{ name: 'vm1', uuid: 'uuid-1', networks: { '52:54:00:00:00:01': 'lan' } },
      ...{ autostart: true, powerOn: false, moves: { kind: 'after', seconds: 60 } },
      writes: 'there',
      replaces: { machine: 'uuid-0', afterwards: 'delete' },
    },
    ...{ pool: 'fast', goal: 'move', stop: 'off', machine: 'uuid-1', aside: 'uuid-0' },
    disks: [
      {
        ...{ name: 'vda', shown: 'nbd://10.0.0.5/vda', reserved: 'fast/vda' },
        ...{ place: 'target', pivoted: true },
      },
    ],
    offline: { start: true, stop: 'off' },
    ...{ lostCopies: 1, firstOn: POINT.created, firstHeartbeat: POINT.created, wasToMove: true },
    waits: { reason: 'away', since: POINT.created, message: 'no route' },
    run: {
      id: 'run-1',
      after: 'vm0-aabbcc',
      gap: { kind: 'delay', seconds: 5 },
      isTurn: true,
      from: POINT.created,
    },
  },
};
const DEBT = {
  ...{ session: 'vm1-aabbcc', hypervisor: 'kvm1', since: POINT.created, machine: 'uuid-1' },
  ...{ uuid: 'uuid-1', aside: 'uuid-0', hasMoved: true },
};
const SERVED = { tls: { kind: 'psk', path: '/etc/holdfast/keys.psk' } } as const;
const GROWTH = [{ time: POINT.created, usedBytes: 1, totalBytes: 2 }];
const PROFILE = { machine: 'vm1', disks: [{ name: 'vda', ranges: [{ offset: 0, length: 4096 }] }] };

const HYPERVISOR: HypervisorRecord = {
  ...{ name: 'kvm1', kind: 'libvirt', uri: 'qemu+ssh://holdfast@kvm1/system' },
  identity: { kind: 'ssh-key', type: 'ssh-ed25519', key: 'AAAA' },
  ...{ sockets: '/run/sockets', scratch: '/scratch', added: POINT.created },
  contact: { time: POINT.created, product: 'QEMU 7.2', host: 'kvm1' },
  failure: { time: POINT.created, message: 'away' },
};

interface Kind {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly value: unknown;
  /** Without any key. */
  readonly decode: (bytes: Uint8Array) => unknown;
  /** The release of 22 November did not write all of its fields. */
  readonly isNew?: boolean;
}

const KINDS: readonly Kind[] = [
  {
    name: 'point',
    bytes: encodePoint(POINT, KEY),
    value: POINT,
    decode: (bytes) => decodePoint(bytes, undefined),
  },
  {
    name: 'point with a machine',
    bytes: encodePoint({ ...POINT, ...MACHINE_FIELDS }, KEY),
    value: { ...POINT, ...MACHINE_FIELDS },
    decode: (bytes) => decodePoint(bytes, undefined),
    isNew: true,
  },
  { name: 'session', bytes: encodeSession(SESSION), value: SESSION, decode: decodeSession },
  {
    name: 'placed session',
    bytes: encodeSession(PLACED),
    value: PLACED,
    decode: decodeSession,
    isNew: true,
  },
  { name: 'debt', bytes: encodeDebt(DEBT), value: DEBT, decode: decodeDebt, isNew: true },
  { name: 'served', bytes: encodeServed(SERVED), value: SERVED, decode: decodeServed },
  { name: 'growth', bytes: encodeGrowth(GROWTH), value: GROWTH, decode: decodeGrowth },
  {
    name: 'hypervisor',
    bytes: encodeHypervisor(HYPERVISOR),
    value: HYPERVISOR,
    decode: decodeHypervisor,
    isNew: true,
  },
];

/** As the release of 22 November wrote it: no checksum, and the second line over what is left. */
function withoutSum(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes).toString();
  const end = text.lastIndexOf('}');
  const { sum: _, ...rest } = JSON.parse(text.slice(0, end + 1)) as Record<string, unknown>;
  const line = `${JSON.stringify(rest)}\n`;
  const isSealed = text.length > end + 2;
  return Buffer.from(isSealed ? `${line}${hex(keyedHash(KEY, Buffer.from(line)))}\n` : line);
}

function* flipped(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const damaged = Uint8Array.from(bytes);
      damaged[at]! ^= 1 << bit;
      yield damaged;
    }
  }
}

/** What is read in spite of the damage; all else is a FormatError. */
function* read(
  all: Iterable<Uint8Array>,
  decode: Kind['decode'],
): Generator<{ readonly damaged: Uint8Array; readonly found: unknown }> {
  for (const damaged of all) {
    let found: unknown;
    try {
      found = decode(damaged);
    } catch (cause) {
      ok(cause instanceof FormatError, String(cause));
      continue;
    }
    yield { damaged, found };
  }
}

for (const { name, bytes, value, decode, isNew } of KINDS) {
  test(`${name}: a flipped bit is found without a key, or changes nothing`, async () => {
    deepEqual(decode(bytes), value);
    for (const { damaged, found } of read(flipped(bytes), decode)) {
      deepEqual(found, value, Buffer.from(damaged).toString());
    }
  });
  if (isNew) continue;
  test(`${name} of the release of 22 November: no flipped bit makes a field absent`, async () => {
    const old = withoutSum(bytes);
    deepEqual(decode(old), value);
    for (const { damaged, found } of read(flipped(old), decode)) {
      deepEqual(shapeOf(found), shapeOf(value), Buffer.from(damaged).toString());
    }
  });
}

/** Which fields there are, whatever they say. */
function shapeOf(value: unknown): unknown {
  if (value instanceof Uint8Array) return 'bytes';
  if (Array.isArray(value)) return value.map(shapeOf);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, it]) => [name, shapeOf(it)]));
}

test('damage is distinguished from another key, and from a change that an attacker made', async () => {
  const other = domainKeys(pattern(32, 1)).record;
  const bytes = encodePoint(POINT, KEY);
  throws(() => decodePoint(bytes, other), /authentication: it was altered, or made with another/);
  const text = Buffer.from(bytes).toString();
  const damaged = Buffer.from(text.replace('"root"', '"rood"'));
  for (const key of [KEY, other, undefined]) {
    throws(() => decodePoint(damaged, key), /fails its checksum: it was damaged/);
  }
  const old = Buffer.from(withoutSum(bytes)).toString();
  equal(decodePoint(Buffer.from(old), KEY).id, POINT.id);
  throws(() => decodePoint(Buffer.from(old.replace('"root"', '"rood"')), undefined), {
    code: 'CORRUPT',
    message: /unknown field "rood"/,
  });
  throws(() => decodePoint(Buffer.from(old), other), /it was damaged or altered/);
});

test('a disk of zeros says so: one without "root" is damaged where every record has a checksum', async () => {
  const bytes = encodePoint(POINT, KEY);
  equal(decodePoint(bytes, KEY, 'checked').disks[1]!.reference, undefined);
  const { sum: _, ...fields } = JSON.parse(Buffer.from(bytes).toString().split('\n')[0]!) as {
    readonly sum: string;
    readonly disks: readonly object[];
  };
  // As the release of 22 November wrote it, and with a checksum of ours.
  const disks = fields.disks.map((disk) => ({ ...disk, root: undefined }));
  const without = encodeJsonRecord({ ...fields, disks }, KEY);
  throws(() => decodePoint(without, KEY, 'checked'), { code: 'CORRUPT', message: /"root"/ });
  equal(decodePoint(without, KEY).disks[0]!.reference, undefined, 'in a store of that release');
});

test('a root is no longer than a frame can be: a reader would take memory for it', async () => {
  const [first] = POINT.disks;
  const root = (length: number) =>
    encodePoint(
      { ...POINT, disks: [{ ...first!, reference: { ...first!.reference!, length } }] },
      KEY,
    );
  equal(decodePoint(root(FRAME_LENGTH_MAX), KEY).disks.length, 1);
  throws(() => decodePoint(root(FRAME_LENGTH_MAX + 1), KEY), { code: 'CORRUPT' });
});

test('profiles carry a checksum too', async () => {
  const bytes = encodeProfile(PROFILE, KEY);
  deepEqual(decodeProfile(bytes, KEY), PROFILE);
  deepEqual(decodeProfile(withoutSum(bytes), KEY), PROFILE);
  const damaged = Buffer.from(Buffer.from(bytes).toString().replace('4096', '4097'));
  throws(() => decodeProfile(damaged, KEY), /fails its checksum: it was damaged/);
});

test('a later release may add fields to a record that has a checksum', async () => {
  const more = { ...SESSION, nfs: undefined, later: { more: true } };
  deepEqual(decodeSession(encodeSession(more)), { ...SESSION, nfs: undefined });
});
