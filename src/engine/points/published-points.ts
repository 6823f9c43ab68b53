import type { Published } from '../../box/published.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { type KnownPoint, olderState } from '../../catalog/older-state.ts';
import { linkToFile, type MachineInSet } from '../../catalog/point-chain.ts';
import { pointPath, readPoint } from '../../catalog/points.ts';
import type { RecordProblem } from '../../catalog/set-copies.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Engine } from '../base/engine.ts';

/*
 * An attacker with write access to the store, or a restore of its files, can put back an older state of all of a
 * machine's recovery points: the store itself cannot know. The box remembers the newest one that it published.
 */

/** The point that the box remembers; undefined: none. */
export async function knownPoint(
  { memory }: Engine,
  of: MachineInSet,
): Promise<KnownPoint['point'] | undefined> {
  const known = await memory.published.get(of);
  return known && knownOf(known).point;
}

/**
 * Called after the publication. A failure to record it is reported by `tell`: then an older state may go unnoticed.
 */
export async function notePublished(
  { store, memory }: Engine,
  set: OpenSet,
  id: string,
  tell: (message: string) => void,
): Promise<void> {
  if (!store.has('point-chain')) return;
  try {
    const record = await readPoint(store, set, id);
    const link = await linkToFile(store, pointPath(store, record), record);
    if (!link) return;
    const { sequence, digest } = link;
    const of = { set: set.name, machine: record.machine };
    const published = { point: id, sequence, digest: Buffer.from(digest).toString('hex') };
    await memory.published.note({ ...of, ...published });
  } catch (cause) {
    // It may have been forgotten in the meantime.
    if (cause instanceof CatalogError && cause.code === 'NOT_FOUND') return;
    if (!(cause instanceof SystemError)) throw cause;
    tell(`the memory of the box does not have ${id}: ${cause.message}`);
  }
}

/** `point`: the newest that this box published. */
export type OlderMachine = MachineInSet & RecordProblem & Pick<Published, 'point'>;

/** Machines, of those that `isWanted` accepts, whose state in the store is older than this box published. */
export async function olderMachines(
  { store, memory }: Engine,
  open: readonly OpenSet[],
  isWanted: (published: Published) => boolean = () => true,
): Promise<OlderMachine[]> {
  const found: OlderMachine[] = [];
  for (const published of await memory.published.list()) {
    if (!isWanted(published)) continue;
    const { set, machine, point } = published;
    const key = open.find(({ name }) => name === set)?.keys.record;
    const problem = await olderState(store, knownOf(published), key);
    if (problem) found.push({ set, machine, point, ...problem });
  }
  return found;
}

function knownOf({ set, machine, point, sequence, digest }: Published): KnownPoint {
  return { set, machine, point: { id: point, sequence, digest: Buffer.from(digest, 'hex') } };
}
