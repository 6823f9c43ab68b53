import { join } from 'node:path/posix';
import { digestKey } from '../../formats/store/base/digest.ts';
import {
  decodeKnownPack,
  decodePlace,
  encodeKnownPack,
  encodePlace,
  KNOWN_PACK_KEYS,
  type KnownPack,
  SWEEP_MARK_KEY,
  wholeKey,
} from '../../formats/store/packs/index-entry.ts';
import type { Location } from '../../formats/store/packs/node.ts';
import { StoreError } from '../packs/store-error.ts';
import { type Level, openLevel } from './level-db.ts';

/**
 * Digest to location, for the writer: the blocks that the store has. A cache that is rebuilt from the packs' footers
 * whenever it is missing, behind or damaged; never the only copy of anything. An unreadable index is an INDEX error:
 * it must be rebuilt.
 */
export interface BlockIndex extends AsyncDisposable {
  /** Throws INDEX. The named pack may no longer exist: see `trust.ts`. */
  get(digest: Uint8Array): Location | undefined;
  /** Adds all entries of one sealed pack, and notes that the index now knows this pack. */
  addPack(pack: KnownPack, entries: Iterable<IndexEntry>): Promise<void>;
  /** The packs added by `addPack`, by number, including those that no longer exist. */
  packs(): Promise<ReadonlyMap<number, KnownPack>>;
  /** Whether `markWhole` was called for the tree with this root, under the same loss. Throws INDEX. */
  isWhole(root: Uint8Array, loss: Uint8Array): boolean;
  /** Notes that nothing of the tree with this root is lost. */
  markWhole(root: Uint8Array, loss: Uint8Array): Promise<void>;
  /**
   * Removes the places of dead frames, where contents have not been stored again elsewhere, and notes the mark of the
   * sweep whose dead frames are all forgotten then: both or neither, and durable once it resolves.
   */
  forget(dead: Iterable<DeadInPack>, mark: string | undefined): Promise<void>;
  /** The mark of the last sweep whose dead frames it has forgotten; empty: of none. */
  sweepMark(): Promise<string>;
  /** The directory where worker threads may open it too; undefined: it is only in memory. */
  readonly directory: string | undefined;
}

export interface IndexEntry {
  readonly digest: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

/** Dead frames of a pack. */
export interface DeadInPack {
  readonly pack: number;
  readonly frames: Iterable<IndexEntry>;
}

/** `store`: its directory. */
export function indexPath({ directory }: { readonly directory: string }): string {
  return join(directory, 'block-index');
}

/**
 * Opens LevelDB at `directory`. Threads of one process may hold it at once, after the main thread has opened it; they
 * share its memory, of at most `memory` bytes. Rejects INDEX.
 */
export function openIndexHandle(directory: string, memory: number): Promise<Level> {
  return asking(() => openLevel(directory, { memory, isShared: true }));
}

/** Also undefined where the value is damaged: the block is then stored once more. Throws errors of LevelDB. */
export function findInIndex(level: Level, digest: Uint8Array): Location | undefined {
  const value = level.getSync(digest);
  return value && decodePlace(digest, value);
}

export async function levelIndex(directory: string, memory: number): Promise<BlockIndex> {
  const level = await openIndexHandle(directory, memory);
  return {
    directory,
    get(digest) {
      try {
        return findInIndex(level, digest);
      } catch (cause) {
        throw indexError(cause);
      }
    },
    async addPack(known, entries) {
      const { pack } = known;
      const batch = level.batch();
      for (const { digest, offset, length } of entries) {
        batch.put(digest, encodePlace(digest, { pack, offset, length }));
      }
      const { key, value } = encodeKnownPack(known);
      batch.put(key, value);
      // Unsynced: entries lost in a power cut are read from the footers again.
      await asking(() => batch.write());
    },
    async packs() {
      const found = new Map<number, KnownPack>();
      await asking(async () => {
        for await (const [key, value] of level.iterator(KNOWN_PACK_KEYS)) {
          const known = decodeKnownPack(key, value);
          // A damaged entry is read from the pack's footer again.
          if (known) found.set(known.pack, known);
        }
      });
      return found;
    },
    isWhole(root, loss) {
      try {
        const found = level.getSync(wholeKey(root));
        return found !== undefined && Buffer.compare(found, loss) === 0;
      } catch (cause) {
        throw indexError(cause);
      }
    },
    markWhole: (root, loss) => asking(() => level.put(wholeKey(root), loss)),
    forget: (dead, mark) =>
      asking(async () => {
        const batch = level.batch();
        for (const { pack, frames } of dead) {
          for (const { digest, offset } of frames) {
            const place = findInIndex(level, digest);
            if (place?.pack === pack && place.offset === offset) batch.del(digest);
          }
        }
        if (mark !== undefined) batch.put(SWEEP_MARK_KEY, Buffer.from(mark, 'latin1'));
        await batch.write({ sync: true });
      }),
    sweepMark: () =>
      asking(async () => Buffer.from((await level.get(SWEEP_MARK_KEY)) ?? '').toString('latin1')),
    [Symbol.asyncDispose]: () => level.close(),
  };
}

export function memoryIndex(): BlockIndex {
  const entries = new Map<string, Location>();
  const packs = new Map<number, KnownPack>();
  const whole = new Map<string, string>();
  let sweepMark = '';
  return {
    directory: undefined,
    get: (digest) => entries.get(digestKey(digest)),
    async addPack(known, added) {
      const { pack } = known;
      for (const { digest, offset, length } of added) {
        entries.set(digestKey(digest), { pack, offset, length });
      }
      packs.set(pack, known);
    },
    packs: async () => packs,
    isWhole: (root, loss) => whole.get(digestKey(root)) === digestKey(loss),
    async markWhole(root, loss) {
      whole.set(digestKey(root), digestKey(loss));
    },
    async forget(dead, mark = sweepMark) {
      for (const { pack, frames } of dead) {
        for (const { digest, offset } of frames) {
          const place = entries.get(digestKey(digest));
          if (place?.pack === pack && place.offset === offset) entries.delete(digestKey(digest));
        }
      }
      sweepMark = mark;
    },
    sweepMark: async () => sweepMark,
    async [Symbol.asyncDispose]() {},
  };
}

export async function asking<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw indexError(cause);
  }
}

/** A full disk does not mean that the index is damaged. */
export function indexError(cause: unknown): StoreError {
  const texts: string[] = [];
  for (let it = cause; it instanceof Error; it = it.cause) texts.push(it.message);
  const text = texts.join(': ');
  if (/no space left|quota exceeded/i.test(text)) {
    return new StoreError('NO_SPACE', 'the store is full: its index cannot grow', { cause });
  }
  return new StoreError('INDEX', `it cannot be read: ${text}`, { cause });
}
