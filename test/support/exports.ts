import type { OpenSet } from '../../src/catalog/sets.ts';
import { listPoints } from '../../src/catalog/points.ts';
import { concatBytes } from '../../src/lib/bytes.ts';
import { digestKey } from '../../src/formats/store/base/digest.ts';
import type { ByteSource } from '../../src/ingest/exports/export-reader.ts';
import type { ImportOutcome } from '../../src/ingest/exports/import-findings.ts';
import {
  importExport,
  type ImportOptions,
  type OpenStorage,
} from '../../src/ingest/exports/read-import.ts';
import { writeExport } from '../../src/ingest/exports/write-export.ts';
import { createStore, openStore, type Store } from '../../src/store/directory/store.ts';
import { crashingFs } from './crashing-fs.ts';
import { seeded } from './random.ts';
import { HOME, simulatedWorld, simulatedWriter } from './store.ts';

/** All points of a set, as one export. */
export async function exportOf(store: Store, set: OpenSet): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const { points } = await listPoints(store, set.name, set.keys);
  await writeExport(store, [{ set, points }], async (bytes) => void parts.push(bytes.slice()), {
    signal: undefined,
    onPlanned() {},
    async onBegin() {},
    onProgress() {},
  });
  return concatBytes(...parts);
}

/** As a pipe gives it: in pieces of any length. */
export function pipeOf(bytes: Uint8Array, piece = 65_537): ByteSource {
  let at = 0;
  return async (into) => {
    const part = bytes.subarray(at, at + Math.min(piece, into.length));
    into.set(part);
    at += part.length;
    return part.length;
  };
}

/** An empty store on another host. */
export async function emptyStore(files = crashingFs(seeded(7)).files): Promise<Store> {
  const world = simulatedWorld(files, 7);
  await createStore(world, HOME);
  return openStore(world, HOME);
}

/** A writer and a map that are in memory. */
const inMemory: OpenStorage = async (store, set) => {
  const known = new Map<string, Uint8Array>();
  const writer = await simulatedWriter(store, set);
  const map = {
    get: (key: Uint8Array) => known.get(digestKey(key)),
    put: async (key: Uint8Array, value: Uint8Array) => void known.set(digestKey(key), value),
    async [Symbol.asyncDispose]() {},
  };
  return { writer, map, owned: writer };
};

/** Imports the one set of an export, under its own name. */
export function importInto(
  store: Store,
  set: OpenSet,
  bytes: Uint8Array,
  more: Partial<ImportOptions> = {},
): Promise<ImportOutcome> {
  return importExport(store, pipeOf(bytes), {
    setFor: async ({ name }) => ({ name, set }),
    async onSets() {},
    onNotice() {},
    knownPoint: async () => undefined,
    async onPublished() {},
    onProgress() {},
    onStoreDamage() {},
    openStorage: inMemory,
    isDryRun: false,
    signal: undefined,
    ...more,
  });
}
