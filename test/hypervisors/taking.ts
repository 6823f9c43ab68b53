import { deepEqual, equal, ok } from 'node:assert/strict';
import type { Tracking } from '../../src/formats/store/catalog/machine.ts';
import type {
  BackupWish,
  MachineSnapshot,
  SnapshotDisk,
} from '../../src/hypervisors/base/backup-driver.ts';
import { HypervisorError } from '../../src/hypervisors/base/hypervisor-error.ts';
import type { Hypervisor } from '../../src/hypervisors/base/hypervisor.ts';
import type { TestMachine } from './rig.ts';

/** All disks, crash-consistent or better. */
export const WISH: BackupWish = {
  ...{ only: undefined, exclude: [] },
  ...{ consistency: 'file-system', fallBack: true },
};

/** What a store would keep of one backup. */
export interface Point {
  readonly disks: ReadonlyMap<string, Uint8Array>;
  readonly tracking: Tracking | undefined;
}

export interface TakeOptions {
  readonly wish?: BackupWish | undefined;
  /** On which it builds. */
  readonly since?: Point | undefined;
  readonly signal?: AbortSignal | undefined;
  /** As soon as the snapshot is there. */
  readonly onBegun?: ((snapshot: MachineSnapshot) => Promise<void>) | undefined;
  readonly onNotice?: ((message: string) => void) | undefined;
  /** All is read: a store would have written its record. */
  readonly onPublished?: ((point: Point) => void) | undefined;
}

export function endless(): AbortSignal {
  return new AbortController().signal;
}

let points = 0;

/** Begins a backup; nothing that was made on the host has the name of an earlier one. */
export function begin(
  host: Hypervisor,
  { id }: Pick<TestMachine, 'id'>,
  { wish = WISH, since, signal = endless(), onNotice = () => {} }: TakeOptions = {},
): Promise<MachineSnapshot> {
  const point = `point${++points}`;
  return host.backup.begin(id, wish, since?.tracking, { point, signal, onNotice });
}

/** A whole backup as the engine makes it: read, published, accepted, ended. */
export async function take(
  host: Hypervisor,
  machine: Pick<TestMachine, 'id'>,
  options: TakeOptions = {},
): Promise<Point> {
  await using snapshot = await begin(host, machine, options);
  await options.onBegun?.(snapshot);
  const disks = new Map<string, Uint8Array>();
  for (const disk of snapshot.disks) {
    disks.set(disk.name, await readOver(options.since?.disks.get(disk.name), disk));
  }
  await snapshot.confirm();
  const point = { disks, tracking: snapshot.tracking };
  options.onPublished?.(point);
  await snapshot.accept();
  return point;
}

/** The disk now: what it was, and over it what the host says has changed. */
async function readOver(
  before: Uint8Array | undefined,
  { device, changed }: SnapshotDisk,
): Promise<Uint8Array> {
  const { size } = device.geometry;
  const bytes = new Uint8Array(size);
  if (!changed || !before) {
    await device.read(bytes, 0);
    return bytes;
  }
  bytes.set(before.subarray(0, size));
  const grown = { offset: before.length, length: Math.max(0, size - before.length) };
  for (const { offset, length } of [...changed, grown]) {
    await device.read(bytes.subarray(offset, offset + length), offset);
  }
  return bytes;
}

/** What the guest sees now, of all these disks. */
export async function truth(
  machine: TestMachine,
  names: readonly string[],
): Promise<ReadonlyMap<string, Uint8Array>> {
  const disks = new Map<string, Uint8Array>();
  for (const name of names) disks.set(name, await machine.contents(name));
  return disks;
}

export function same(
  actual: ReadonlyMap<string, Uint8Array>,
  expected: ReadonlyMap<string, Uint8Array>,
): void {
  deepEqual([...actual.keys()].sort(), [...expected.keys()].sort());
  for (const [name, bytes] of expected) {
    equal(Buffer.compare(actual.get(name)!, bytes), 0, `disk ${name} has other bytes`);
  }
}

/** The error, which only HypervisorError may be; undefined: none, or one that `isOther` expects. */
export async function failureOf(
  work: Promise<unknown>,
  isOther: (cause: unknown) => boolean = () => false,
): Promise<HypervisorError | undefined> {
  try {
    await work;
  } catch (cause) {
    if (isOther(cause)) return undefined;
    ok(cause instanceof HypervisorError, `not a HypervisorError: ${String(cause)}`);
    ok(cause.message.length > 0);
    return cause;
  }
  return undefined;
}
