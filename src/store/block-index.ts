import { ClassicLevel } from 'classic-level';
import { digestKey } from '../formats/store/digest.ts';
import type { Location } from '../formats/store/node.ts';
import { StoreError } from './store-error.ts';

/**
 * Digest to location, for the writer: which blocks the store has. A cache that is rebuilt from the
 * packs' footers whenever it is missing or behind; never the only copy of anything.
 */
export interface BlockIndex extends AsyncDisposable {
  get(digest: Uint8Array): Location | undefined;
  /** All entries of one sealed pack, and that the index now knows this pack. */
  addPack(pack: number, entries: Iterable<IndexEntry>): Promise<void>;
  knowsPack(pack: number): boolean;
  /** Where worker threads may open it beside us; undefined if it is only in memory. */
  readonly directory: string | undefined;
}

export interface IndexEntry {
  readonly digest: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

const LOCATION_LENGTH = 12;
const CACHE_LENGTH = 32 * 1024 * 1024;
const WRITE_BUFFER_LENGTH = 8 * 1024 * 1024;
/** Longer than a digest, so that it can never be one. */
const PACK_PREFIX = Buffer.from('pack that is wholly in this index: ');

type Level = ClassicLevel<Uint8Array, Uint8Array>;

/** Opens LevelDB at `directory`; several threads of one process may hold it at once. */
export async function openIndexHandle(directory: string): Promise<Level> {
  const level: Level = new ClassicLevel(directory, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    multithreading: true,
    // Digests and locations do not compress.
    compression: false,
    cacheSize: CACHE_LENGTH,
    writeBufferSize: WRITE_BUFFER_LENGTH,
  });
  try {
    await level.open();
  } catch (cause) {
    throw new StoreError('IO', `index ${directory} cannot be opened`, { cause });
  }
  return level;
}

export function findInIndex(level: Level, digest: Uint8Array): Location | undefined {
  const value = level.getSync(digest);
  return value?.length === LOCATION_LENGTH ? decodeLocation(value) : undefined;
}

export async function levelIndex(directory: string): Promise<BlockIndex> {
  const level = await openIndexHandle(directory);
  return {
    directory,
    get: (digest) => findInIndex(level, digest),
    async addPack(pack, entries) {
      const batch = level.batch();
      for (const { digest, offset, length } of entries) {
        batch.put(digest, encodeLocation({ pack, offset, length }));
      }
      batch.put(packKey(pack), new Uint8Array(1));
      // Unsynced: what a power cut takes is read from the footers again.
      await batch.write();
    },
    knowsPack: (pack) => level.getSync(packKey(pack)) !== undefined,
    [Symbol.asyncDispose]: () => level.close(),
  };
}

export function memoryIndex(): BlockIndex {
  const entries = new Map<string, Location>();
  const packs = new Set<number>();
  return {
    directory: undefined,
    get: (digest) => entries.get(digestKey(digest)),
    async addPack(pack, added) {
      for (const { digest, offset, length } of added) {
        entries.set(digestKey(digest), { pack, offset, length });
      }
      packs.add(pack);
    },
    knowsPack: (pack) => packs.has(pack),
    async [Symbol.asyncDispose]() {},
  };
}

function packKey(pack: number): Uint8Array {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(pack);
  return Buffer.concat([PACK_PREFIX, number]);
}

function encodeLocation({ pack, offset, length }: Location): Uint8Array {
  const bytes = new Uint8Array(LOCATION_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, pack, true);
  view.setUint32(4, offset, true);
  view.setUint32(8, length, true);
  return bytes;
}

function decodeLocation(bytes: Uint8Array): Location {
  const view = new DataView(bytes.buffer, bytes.byteOffset, LOCATION_LENGTH);
  return {
    pack: view.getUint32(0, true),
    offset: view.getUint32(4, true),
    length: view.getUint32(8, true),
  };
}
