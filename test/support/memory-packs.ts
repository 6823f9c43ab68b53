import { digestKey } from '../../src/formats/store/base/digest.ts';
import { FormatError } from '../../src/formats/format-error.ts';
import { decodeDead, encodeDead } from '../../src/formats/store/packs/dead.ts';
import {
  encodePackFooter,
  encodePackHeader,
  type PackEntry,
  type PackHeader,
} from '../../src/formats/store/packs/pack.ts';
import type { Location } from '../../src/formats/store/packs/node.ts';
import type { HurtPlace, Wanted } from '../../src/formats/store/packs/wanted.ts';
import {
  type PackBytes,
  readFooter,
  readSummary,
  walkedContents,
} from '../../src/store/packs/pack-contents.ts';
import type { PackBuilder, PackStore } from '../../src/store/packs/pack-store.ts';
import { StoreError } from '../../src/store/packs/store-error.ts';

/** The contents, shared by all that have it open. */
export interface PackMemory {
  readonly sealed: Map<number, Uint8Array>;
  readonly open: Map<number, OpenPack>;
  readonly moved: Map<number, Map<number, Location>>;
  readonly references: Map<number, Uint8Array>;
  readonly swept: {
    mark: string;
    readonly dead: Map<number, Uint8Array>;
    readonly removed: Set<number>;
  };
  readonly wanted: Map<string, Wanted>;
  readonly hurt: Map<string, HurtPlace>;
  last: number;
}

interface OpenPack {
  readonly header: PackHeader;
  readonly frames: Uint8Array[];
  readonly entries: PackEntry[];
  size: number;
}

export function packMemory(): PackMemory {
  return {
    sealed: new Map(),
    open: new Map(),
    moved: new Map(),
    references: new Map(),
    swept: { mark: '', dead: new Map(), removed: new Set() },
    wanted: new Map(),
    hurt: new Map(),
    last: 0,
  };
}

/** Packs without files: whole objects by number, as an object store has them. */
export function memoryPacks(memory: PackMemory): PackStore {
  function bytesOf(pack: number): Uint8Array {
    const bytes = memory.sealed.get(pack);
    if (!bytes) throw new StoreError('MISSING', `pack ${pack} cannot be opened`);
    return bytes;
  }
  function fill(into: Uint8Array, pack: number, offset: number): void {
    const bytes = bytesOf(pack).subarray(offset, offset + into.length);
    if (bytes.length < into.length) {
      throw new StoreError('CORRUPT', `pack ${pack} ends before ${offset}+${into.length}`);
    }
    into.set(bytes);
  }
  function source(pack: number): PackBytes {
    const bytes = bytesOf(pack);
    return {
      path: `memory/${pack}`,
      size: async () => bytes.length,
      async read(into, offset) {
        const part = bytes.subarray(offset, offset + into.length);
        into.set(part);
        return part.length;
      },
    };
  }
  function seal(number: number, { header, frames, entries, size }: OpenPack): void {
    const parts = [encodePackHeader(header), ...frames, encodePackFooter(entries, size)];
    memory.sealed.set(number, Buffer.concat(parts));
    memory.open.delete(number);
  }
  const footer = async (pack: number) => readFooter(source(pack));
  const ascending = (numbers: Iterable<number>) => [...numbers].sort((a, b) => a - b);
  const keyOf = ({ pack, frame }: Wanted) =>
    frame ? `${pack}:${frame.offset}:${digestKey(frame.digest)}` : `${pack}`;

  return {
    directory: undefined,
    read: async (into, pack, offset) => fill(into, pack, offset),
    readBlocking: async (into, pack, offset) => fill(into, pack, offset),
    tryRead(into, pack, offset) {
      if (!memory.sealed.has(pack)) return false;
      fill(into, pack, offset);
      return true;
    },
    willNeed() {},
    path: (pack) => `memory/${pack}`,
    list: async () => ascending(memory.sealed.keys()),
    sizes: async () => new Map([...memory.sealed].map(([pack, { length }]) => [pack, length])),
    footer,
    summary: (pack) => readSummary(source(pack)),
    async contents(pack) {
      try {
        return { ...(await footer(pack)), damage: undefined };
      } catch (cause) {
        if (!(cause instanceof FormatError)) throw cause;
        return walkedContents(source(pack), cause.message);
      }
    },
    build(header): PackBuilder {
      const { number } = header;
      const pack: OpenPack = {
        header,
        frames: [],
        entries: [],
        size: encodePackHeader(header).length,
      };
      memory.open.set(number, pack);
      return {
        number,
        entries: pack.entries,
        get size() {
          return memory.sealed.get(number)?.length ?? pack.size;
        },
        append(frame, digest) {
          const offset = pack.size;
          const { length } = frame;
          pack.frames.push(frame.slice());
          pack.entries.push({ digest: digest.slice(), offset, length });
          pack.size += length;
          return { pack: number, offset, length };
        },
        async drained() {},
        seal: async () => seal(number, pack),
        async close() {},
      };
    },
    async draft() {
      throw new Error('an object store is not swept yet');
    },
    async removeDrafts() {},
    unsealed: async () => ascending(memory.open.keys()),
    async salvage() {
      for (const [number, pack] of [...memory.open]) {
        const isBlocks = pack.header.kind === 'block';
        const size = encodePackHeader(pack.header).length;
        seal(number, isBlocks ? pack : { ...pack, frames: [], entries: [], size });
      }
    },
    async settle() {},
    readLast: async () => ({ last: memory.last }),
    async writeLast(last) {
      memory.last = last;
    },
    moved: {
      next: async ({ pack, offset }) => memory.moved.get(pack)?.get(offset),
      remembered: () => undefined,
      list: async () => ascending(memory.moved.keys()),
      of: async (pack) => memory.moved.get(pack) ?? new Map(),
      async add(pack, moves) {
        memory.moved.set(pack, new Map([...(memory.moved.get(pack) ?? []), ...moves]));
      },
      async remove(pack) {
        memory.moved.delete(pack);
      },
      path: (pack) => `memory/${pack}.moved`,
      problems: async () => [],
    },
    swept: {
      mark: async () => memory.swept.mark,
      markPath: 'memory/mark',
      async writeMark(mark) {
        memory.swept.mark = mark;
      },
      listDead: async () => ascending(memory.swept.dead.keys()),
      async dead(pack) {
        const bytes = memory.swept.dead.get(pack.pack);
        return bytes && decodeDead(bytes, pack);
      },
      deadPath: (pack) => `memory/${pack}.dead`,
      async writeDead(pack, dead) {
        memory.swept.dead.set(pack.pack, encodeDead(pack, dead));
      },
      removed: async () => ({ numbers: memory.swept.removed, damage: [] }),
      async list(packs) {
        for (const pack of packs) memory.swept.removed.add(pack);
      },
      async mend() {},
      async giveBack() {},
      async remove(packs) {
        for (const pack of packs) {
          memory.swept.removed.add(pack);
          for (const it of [memory.sealed, memory.references, memory.swept.dead]) it.delete(pack);
        }
      },
    },
    references: {
      of: async (pack, count) => (count > 0 ? memory.references.get(pack) : undefined),
      async write(pack, list) {
        memory.references.set(pack, list.slice());
      },
      path: (pack) => `memory/${pack}.refs`,
    },
    wanted: {
      async add({ pack, offset, digest }, hurt) {
        const mark = { pack, frame: { offset, digest } };
        if (hurt && !memory.wanted.has(keyOf(mark))) memory.hurt.set(keyOf(mark), hurt);
        memory.wanted.set(keyOf(mark), mark);
      },
      list: async () => [...memory.wanted.values()],
      hurt: async () => [...memory.hurt.values()],
      async remove(mark) {
        memory.wanted.delete(keyOf(mark));
        memory.hurt.delete(keyOf(mark));
      },
    },
    async want({ pack, offset, digest }, hurt) {
      await this.wanted.add({ pack, offset, digest }, hurt);
    },
    async [Symbol.asyncDispose]() {},
  };
}
