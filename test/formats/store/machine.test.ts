import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { FormatError } from '../../../src/formats/format-error.ts';
import { encodeJsonRecord } from '../../../src/formats/store/base/json-record.ts';
import { domainKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import {
  decodeMachine,
  encodeMachine,
  type MachineDescription,
} from '../../../src/formats/store/catalog/machine.ts';
import { decodePoint, encodePoint } from '../../../src/formats/store/catalog/point.ts';
import { MACHINE } from '../../support/machine-description.ts';
import { MACHINE_FIELDS, POINT } from '../../support/point-record.ts';
import { pattern } from '../../support/random.ts';

const KEY = domainKeys(pattern(32)).record;

/** With no field that may be absent. */
const BARE: MachineDescription = {
  from: { kind: 'qemu', hypervisor: 'q', product: 'QEMU', id: '1', name: 'vm' },
  arch: 'x86_64',
  firmware: { kind: 'bios' },
  cpu: { count: 1 },
  memory: { bytes: 2 ** 28 },
  ids: { uuid: '1' },
  clock: 'utc',
  disks: [],
  nics: [],
  boot: [],
  autostart: false,
  native: { format: 'qemu-json', file: 'definition.json' },
};

test('a description says after decoding what it said before, and fields that are not known stay absent', async () => {
  for (const machine of [MACHINE, BARE]) deepEqual(decodeMachine(encodeMachine(machine)), machine);
  const later = encodeMachine({ ...MACHINE, later: { more: true } } as MachineDescription);
  deepEqual(decodeMachine(later), MACHINE);
});

test('words of a later release for kinds of anything hide no machine', async () => {
  const excluded = { reason: 'sealed', detail: 'vda is sealed' };
  const later = {
    ...MACHINE,
    from: { ...MACHINE.from, kind: 'cloud' },
    native: { format: 'cloud-json', file: 'machine.json' },
    tpm: { version: '3.0' },
    disks: [{ ...MACHINE.disks[0]!, excluded }],
  };
  deepEqual(decodeMachine(encodeMachine(later)), later);
  const written = { ...later, clock: 'tai', firmware: { kind: 'coreboot', payload: 'x' } };
  const [first] = later.disks;
  const read = decodeMachine(
    encodeMachine({
      ...written,
      disks: [{ ...first, bus: 'nvdimm' }],
    } as unknown as MachineDescription),
  );
  const firmware = { kind: 'other', name: 'coreboot' } as const;
  deepEqual(read, { ...later, clock: 'utc', firmware, disks: [{ ...first, bus: 'other' }] });
  deepEqual(decodeMachine(encodeMachine(read)), read);
});

test('a text of a hypervisor that is too long is cut off, and the description stays readable', async () => {
  const long = { ...MACHINE, from: { ...MACHINE.from, product: 'x'.repeat(10_000) } };
  equal(decodeMachine(encodeMachine(long)).from.product.length, 4096);
});

test('arbitrary, truncated and damaged descriptions are a value or a FormatError', async () => {
  const whole = encodeMachine(MACHINE);
  const decode = (bytes: Uint8Array): void => {
    try {
      decodeMachine(bytes);
    } catch (cause) {
      ok(cause instanceof FormatError, String(cause));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 4096 }), decode));
  fc.assert(fc.property(fc.json(), (text) => decode(Buffer.from(text))));
  for (let at = 0; at < whole.length; at++) {
    const damaged = whole.slice();
    damaged[at]! ^= 1;
    decode(damaged);
    if (at < whole.length - 1) throws(() => decodeMachine(whole.slice(0, at)), FormatError);
  }
  const replaced = fc.constantFrom(null, -1, 1.5, 2 ** 60, 'x', [], {}, [1], [{}], true);
  const names = [...new Set(namesIn(MACHINE))];
  fc.assert(
    fc.property(fc.constantFrom(...names), replaced, (name, value) => {
      const text = JSON.stringify(JSON.parse(Buffer.from(whole).toString()), (key, it: unknown) =>
        key === name ? value : it,
      );
      decode(Buffer.from(text));
    }),
    { numRuns: 1000 },
  );
});

function* namesIn(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, it] of Object.entries(value)) {
    if (!/^\d+$/.test(name)) yield name;
    yield* namesIn(it);
  }
}

test('a description has limits: its length, and the lengths of its lists', async () => {
  throws(() => decodeMachine(new Uint8Array(2 ** 20 + 1)), /of 1048577 bytes, more than 1048576/);
  const [disk] = MACHINE.disks;
  const disks = (count: number) => Array.from({ length: count }, () => disk!);
  equal(decodeMachine(encodeMachine({ ...BARE, disks: disks(1024) })).disks.length, 1024);
  throws(() => decodeMachine(encodeMachine({ ...BARE, disks: disks(1025) })), FormatError);
});

test('a recovery point keeps the files of its machine, the consistency, the run and the tracking', async () => {
  const point = { ...POINT, ...MACHINE_FIELDS };
  deepEqual(decodePoint(encodePoint(point, KEY), KEY), point);
  deepEqual(decodePoint(encodePoint(point, KEY), undefined), point);
  const tracking = { kind: 'qemu', bitmap: 'holdfast-1', point: POINT.id } as const;
  deepEqual(decodePoint(encodePoint({ ...POINT, tracking }, KEY), KEY), { ...POINT, tracking });
  const earlier = { ...POINT, tracking: { ...tracking, since: 'web1-before' } };
  deepEqual(decodePoint(encodePoint(earlier, KEY), KEY), earlier);
  // A release that did not note the point.
  const { point: _, ...before } = tracking;
  const older = { ...POINT, tracking: before };
  deepEqual(decodePoint(encodePoint(older, KEY), KEY), older);
});

test('words of a later release about the machine leave the disks of a recovery point readable', async () => {
  const fields = {
    ...(JSON.parse(Buffer.from(encodePoint(POINT, KEY)).toString().split('\n')[0]!) as object),
    files: [{ name: 'x', kind: 'later', size: 1, root: null, more: 1 }],
    consistency: { asked: 'later', got: 'crash' },
    tracking: { kind: 'later', token: 1 },
  };
  const { sum: _, ...rest } = fields as typeof fields & { readonly sum: string };
  deepEqual(decodePoint(encodeJsonRecord(rest, KEY), KEY), {
    ...POINT,
    files: [{ name: 'x', kind: 'later', size: 1, reference: undefined }],
  });
});

test('a file of a recovery point says its root, also where it has none', async () => {
  const bytes = encodePoint({ ...POINT, ...MACHINE_FIELDS }, KEY);
  const { sum: _, ...fields } = JSON.parse(Buffer.from(bytes).toString().split('\n')[0]!) as {
    readonly sum: string;
    readonly files: readonly object[];
  };
  const files = fields.files.map((file) => ({ ...file, root: undefined }));
  throws(() => decodePoint(encodeJsonRecord({ ...fields, files }, KEY), KEY), /"root"/);
});
