import { equal } from 'node:assert/strict';
import { forgottenRoots, neededSource } from '../../../src/catalog/removal/needed.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import type { OpenSet } from '../../../src/catalog/sets.ts';
import type { PointRecord } from '../../../src/formats/store/catalog/point.ts';
import { openStore, type Store } from '../../../src/store/directory/store.ts';
import {
  type SweepOptions,
  sweepPacks,
  type SweptBytes,
} from '../../../src/store/sweep/sweep-packs.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { type CrashingFs, crashingFs } from '../../support/crashing-fs.ts';
import { noise, seeded } from '../../support/random.ts';
import { soundness } from '../../support/soundness.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';

const SIZE = 3 * 2 ** 20;
export const PACK_LENGTH = 2 ** 20;
/** Two states of a disk that have a half in common. */
export const FIRST = noise(SIZE, 1);
export const SECOND = FIRST.slice();
SECOND.set(noise(1_400_000, 2), 2 ** 20 + 777);

export interface SweptPlace {
  readonly disk: CrashingFs;
  readonly set: OpenSet;
  readonly first: PointRecord;
  readonly second: PointRecord;
}

/** A store with a point of FIRST and one of SECOND, of which the first is forgotten. */
export async function setUp(passphrase?: string): Promise<SweptPlace> {
  const disk = crashingFs(seeded(0));
  const world = simulatedWorld(disk.files);
  const { store, set } = await newStore(world, passphrase === undefined ? {} : { passphrase });
  const first = await storePoint(store, set, FIRST, { packLength: PACK_LENGTH });
  const second = await storePoint(store, set, SECOND, { packLength: PACK_LENGTH });
  await forgetPoint(store, { set: 'set', id: first.id });
  return { disk, set, first, second };
}

/** What a command does, on a store that is open. */
export function sweepStore(store: Store, options: Partial<SweepOptions> = {}) {
  return sweepPacks(store, {
    needed: () => neededSource(store, new Map()),
    forgotten: () => forgottenRoots(store),
    removedAt: async () => new Map(),
    ...options,
  });
}

/** The same in a process of its own, without pauses. */
export async function sweep(files: FileSystem, options: Partial<SweepOptions> = {}, seed = 5) {
  const world = simulatedWorld(files, seed);
  const clock = { ...world.clock, sleep: async () => {} };
  await using store = await openStore({ ...world, clock }, HOME);
  return await sweepStore(store, options);
}

/** Also small packs are copied. */
export function copyingSweep(files: FileSystem, options: Partial<SweepOptions> = {}, seed = 5) {
  return sweep(files, { copyBytesMin: 1, ...options }, seed);
}

/** A file system on which holes give nothing back. */
export function keepingHoles(files: FileSystem): FileSystem {
  const space = async (of: string) => ({ ...(await files.space(of)), keepsHoles: true });
  return { ...files, space };
}

/** The bytes of the only domain. */
export function bytesOf({ domains }: Awaited<ReturnType<typeof sweep>>): SweptBytes {
  equal(domains.size, 1);
  const [bytes] = domains.values();
  return bytes!;
}

/** Each point holds what it held. Answers their number. */
export async function points(files: FileSystem, { set, second }: SweptPlace): Promise<number> {
  const isSecond = ({ id }: PointRecord): boolean => id === second.id;
  return (await soundness(files, set, (point) => (isSecond(point) ? SECOND : FIRST))).length;
}
