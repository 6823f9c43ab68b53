import { type DomainKeys, frameCodec } from '../../formats/store/packs/frame.ts';
import { type Node, type Reference, rootLevel } from '../../formats/store/packs/node.ts';
import { digestKey } from '../../formats/store/base/digest.ts';
import type { DiskRoot } from '../nodes/disk-root.ts';
import { type NodeReader, nodeReader } from '../nodes/node-reader.ts';
import type { PackEntry, PackHeader } from '../../formats/store/packs/pack.ts';
import { placesOf } from '../packs/moved-frames.ts';
import type { PackStore } from '../packs/pack-store.ts';
import { frameChecker, type PlacedFrame } from './frame-checker.ts';
import { markedPlaces } from './marked-places.ts';
import { type Problem, reason } from './problem.ts';
import { referenceDefect } from './reference-check.ts';
import { isRemoved, listProblem, livingFrames } from './swept-frames.ts';

export interface PackCheckOptions {
  /** Every frame is read and checked, not only headers and footers. */
  readonly readData: boolean;
  /** Keys of a pack's domain: with them contents are authenticated; without, only checksums are verified. */
  readonly keysOf: (domain: Uint8Array) => DomainKeys | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (done: number, total: number, bytes: number) => void;
  readonly onProblem: (problem: Problem) => void;
  /** Only packs from this number on. */
  readonly from?: number;
  /** Awaited before each piece of some MiB is read. */
  readonly pause?: (() => Promise<void>) | undefined;
  /** Called after each pack; false: the check ends with it. */
  readonly onPack?: (pack: CheckedPack) => Promise<boolean>;
}

export interface CheckedPack {
  readonly pack: number;
  /** Undefined: its header is damaged, or it cannot be read. */
  readonly header: PackHeader | undefined;
  readonly frames: number;
  readonly bytes: number;
}

export interface PackCheck {
  readonly packs: number;
  readonly frames: number;
  readonly bytes: number;
}

/** Goes through all packs in order, and through the frames that are marked as damaged. */
export async function checkPacks(packs: PackStore, options: PackCheckOptions): Promise<PackCheck> {
  const { readData, keysOf, signal, onProgress, onProblem, from = 0, onPack } = options;
  const all = await packs.list();
  const numbers = all.filter((pack) => pack >= from);
  const marks = await marksOf(packs);
  const frames = frameChecker(packs, options, marks);
  let count = 0;
  let bytes = 0;
  for (const [done, pack] of numbers.entries()) {
    signal?.throwIfAborted();
    const where = packs.path(pack);
    let checked: CheckedPack = { pack, header: undefined, frames: 0, bytes: 0 };
    try {
      const { size, header, entries, damage } = await packs.contents(pack);
      const says = header && header.number !== pack && `it says that it is pack ${header.number}`;
      for (const what of [damage, says]) if (what) onProblem({ where, what });
      count += entries.length;
      bytes += size;
      checked = { pack, header, frames: entries.length, bytes: size };
      const keys = header && keysOf(header.domain);
      if (header?.kind === 'node' && !damage) {
        const what = await referenceDefect(packs, pack, readData ? keys : undefined);
        if (what) onProblem({ where: packs.references.path(pack), what });
      }
      if (readData) {
        const living = damage ? entries : await livingFrames(packs, pack, onProblem);
        await frames.check(pack, living, keys);
      } else await frames.check(pack, marks.get(pack) ?? [], keys);
    } catch (cause) {
      const what = reason(cause);
      if (!(await isRemoved(packs, pack))) onProblem({ where, what });
    }
    onProgress(done + 1, numbers.length, bytes);
    if (onPack && !(await onPack(checked))) break;
  }
  // The walk through the manifests reports frames that were lost with their pack; here only their marks are settled.
  const there = new Set(all);
  for (const [pack, of] of marks) if (!there.has(pack)) await frames.settle(pack, of);
  for (const problem of await packs.moved.problems()) onProblem(problem);
  for (const problem of (await packs.swept.removed()).damage) onProblem(listProblem(problem));
  return { packs: numbers.length, frames: count, bytes };
}

/** The frames that reads found damaged, by pack. */
async function marksOf(packs: PackStore): Promise<ReadonlyMap<number, readonly PlacedFrame[]>> {
  const marks = (await packs.wanted.list()).flatMap(({ pack, frame }) =>
    frame ? [{ pack, frame }] : [],
  );
  const byPack = Map.groupBy(marks, ({ pack }) => pack);
  return new Map([...byPack].map(([pack, of]) => [pack, of.map(({ frame }) => frame)]));
}

/**
 * Checks manifests. Parts that several of them share are read once: a forged tree of an unencrypted set whose nodes
 * have one child 256 times takes no longer than reading its nodes.
 */
export interface ManifestChecker {
  check(disk: DiskRoot, where: string): Promise<void>;
}

export function manifestChecker(
  packs: PackStore,
  keys: DomainKeys,
  onProblem: (problem: Problem) => void,
): ManifestChecker {
  const nodes = nodeReader(packs, frameCodec(keys));
  const seen = markedPlaces();
  const holds = blockFinder(packs);

  async function walk(reference: Reference, level: number, where: string): Promise<void> {
    if (seen.has(reference, level)) return;
    const node = await open(nodes, reference, level, where);
    if (!node) return;
    seen.add(reference, level);
    for (const entry of node.entries) {
      if (level > 0) await walk(entry, level - 1, where);
      else if (!(await holds(entry))) {
        await packs.want(entry);
        const name = Buffer.from(entry.digest).toString('hex').slice(0, 16);
        const at = `${packs.path(entry.pack)} at ${entry.offset}`;
        onProblem({ where, what: `block ${name} is missing: it should be in ${at}` });
      }
    }
  }
  async function open(
    reader: NodeReader,
    reference: Reference,
    level: number,
    where: string,
  ): Promise<Node | undefined> {
    try {
      const node = await reader.node(reference);
      if (node.level === level) return node;
      onProblem({ where, what: `a manifest node has level ${node.level}, not ${level}` });
    } catch (cause) {
      onProblem({ where, what: reason(cause) });
    }
    return undefined;
  }
  return {
    async check({ size, reference }, where) {
      if (reference) await walk(reference, rootLevel(size), where);
    },
  };
}

/** Packs whose entries are kept in memory: manifests mostly refer to packs in order. */
const PACKS_MAX = 64;

/** Finds out whether a block is where its leaf says, or was stored again elsewhere. */
function blockFinder(packs: PackStore): (reference: Reference) => Promise<boolean> {
  const kept = new Map<number, Map<number, string>>();

  async function offsetsOf(pack: number): Promise<Map<number, string>> {
    const known = kept.get(pack);
    if (known) return known;
    const entries = await entriesOf(pack);
    const made = new Map(entries.map(({ offset, digest }) => [offset, digestKey(digest)]));
    kept.set(pack, made);
    const [oldest] = kept.keys();
    if (kept.size > PACKS_MAX) kept.delete(oldest!);
    return made;
  }
  /** A damaged footer was reported with the packs. */
  async function entriesOf(pack: number): Promise<readonly PackEntry[]> {
    try {
      return (await packs.contents(pack)).entries;
    } catch (cause) {
      reason(cause);
      return [];
    }
  }
  return async (reference) => {
    const key = digestKey(reference.digest);
    for await (const { pack, offset } of placesOf(packs.moved, reference)) {
      if ((await offsetsOf(pack)).get(offset) === key) return true;
    }
    return false;
  };
}
