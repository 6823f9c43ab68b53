import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { cutText } from '../../../src/formats/store/base/json-record.ts';
import { domainKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import { decodeHead, encodeHead } from '../../../src/formats/store/catalog/head.ts';
import {
  decodePoint,
  encodePoint,
  type PointRecord,
} from '../../../src/formats/store/catalog/point.ts';
import {
  decodeHypervisor,
  encodeHypervisor,
  type HypervisorRecord,
} from '../../../src/formats/store/service/hypervisor.ts';
import { decodeSession, encodeSession } from '../../../src/formats/store/sessions/session.ts';
import { HOSTILE_NAMES, HOSTILE_TEXTS } from '../../support/hostile-texts.ts';
import { MACHINE_FIELDS, POINT } from '../../support/point-record.ts';
import { pattern } from '../../support/random.ts';

const KEY = domainKeys(pattern(32)).record;
const FULL: PointRecord = { ...POINT, ...MACHINE_FIELDS, parent: 'vm-0' };

const HYPERVISOR: HypervisorRecord = {
  ...{ name: 'kvm1', kind: 'libvirt', uri: 'qemu:///system', identity: undefined },
  ...{ sockets: undefined, scratch: undefined, added: '2026-11-30T02:00:00.000Z' },
  ...{ contact: undefined, failure: undefined },
};

test('a name in a record that could lead elsewhere as a part of a path is refused, wherever it is', async () => {
  const [disk] = FULL.disks;
  const [file] = FULL.files!;
  const session = {
    ...{
      id: 'vm1-3f9c2a',
      created: POINT.created,
      set: 'nightly',
      point: POINT.id,
      machine: 'vm1',
    },
    ...({ listen: 'unix:/s', tls: false, nfs: undefined, whenFull: 'pause' } as const),
    ...({ phase: 'ready', keepAs: undefined, sealed: undefined, placement: undefined } as const),
    disks: [{ name: 'vda', size: 512 }],
  };
  const head = { set: 'nightly', machine: 'vm1', point: undefined, points: [] };
  for (const name of HOSTILE_NAMES) {
    const link = { id: name, sequence: 1, digest: pattern(32, 9) };
    const points: readonly Partial<PointRecord>[] = [
      ...[{ id: name }, { set: name }, { machine: name }, { parent: name }, { previous: link }],
      ...[{ disks: [{ ...disk!, name }] }, { files: [{ ...file!, name }] }],
    ];
    for (const part of points) {
      const bytes = encodePoint({ ...FULL, ...part }, KEY);
      for (const key of [KEY, undefined])
        throws(() => decodePoint(bytes, key), { code: 'CORRUPT' });
    }
    for (const part of [{ set: name }, { machine: name }, { points: [link] }]) {
      throws(() => decodeHead(encodeHead({ ...head, ...part }, KEY), KEY), { code: 'CORRUPT' });
    }
    for (const part of [{ id: name }, { machine: name }, { disks: [{ name, size: 512 }] }]) {
      throws(() => decodeSession(encodeSession({ ...session, ...part })), { code: 'CORRUPT' });
    }
    throws(() => decodeHypervisor(encodeHypervisor({ ...HYPERVISOR, name })), { code: 'CORRUPT' });
  }
  deepEqual(decodePoint(encodePoint(FULL, KEY), KEY), FULL);
  equal(decodeSession(encodeSession(session)).machine, 'vm1');
});

test('a record in which two disks, or two files, have the same name is refused', async () => {
  const two = <T>(one: T): readonly T[] => [one, one];
  for (const part of [{ disks: two(FULL.disks[0]!) }, { files: two(FULL.files![0]!) }]) {
    const bytes = encodePoint({ ...FULL, ...part }, KEY);
    throws(() => decodePoint(bytes, KEY), /two (disks|files) "(vda|machine\.json)"/);
  }
});

test('a text of others is cut off where a record would no longer be readable, and nothing else of it', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 6000 }),
    fc.string({ maxLength: 6000 }).map((it) => `${it}\ud800`),
    fc.constantFrom(...HOSTILE_TEXTS),
  );
  fc.assert(
    fc.property(text, (it) => {
      const cut = cutText(it);
      ok(it.startsWith(cut));
      ok(Buffer.byteLength(JSON.stringify(cut)) <= 4098);
      equal(cutText(cut), cut);
      if (Buffer.byteLength(JSON.stringify(it)) <= 4098) equal(cut, it);
      // Six bytes are the most that a sign takes.
      else ok(Buffer.byteLength(JSON.stringify(cut)) > 4090);
      const consistency = { asked: 'crash', got: 'crash', why: it } as const;
      const disks = [{ ...FULL.disks[0]!, source: it }];
      const point = decodePoint(encodePoint({ ...FULL, disks, consistency }, KEY), KEY);
      equal(point.disks[0]!.source, cut);
      equal(point.consistency!.why, cut);
      const time = POINT.created;
      const said = {
        contact: { time, product: it, host: it },
        failure: { time, message: it },
      };
      const { contact, failure } = decodeHypervisor(encodeHypervisor({ ...HYPERVISOR, ...said }));
      deepEqual([contact!.product, contact!.host, failure!.message], [cut, cut, cut]);
    }),
    { numRuns: 200 },
  );
});
