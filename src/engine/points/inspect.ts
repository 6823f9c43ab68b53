import { holdPoint } from '../../catalog/point-lease.ts';
import { loadProfile } from '../../catalog/profiles.ts';
import { readSet } from '../../catalog/sets.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { FormatError } from '../../formats/format-error.ts';
import { digestKey } from '../../formats/store/base/digest.ts';
import {
  frameCodec,
  parseFrameHeader,
  FRAME_HEADER_LENGTH,
} from '../../formats/store/packs/frame.ts';
import { type Reference, rootLevel } from '../../formats/store/packs/node.ts';
import { nodeReader } from '../../store/nodes/node-reader.ts';
import { StoreError } from '../../store/packs/store-error.ts';
import { type Engine, openSet, type SecretSource, openPoint } from '../base/engine.ts';
import { findSession } from '../../sessions/state/listed-sessions.ts';

/*
 * `store cat`: every format as JSON lines, for people who want to see the real contents. Each yields plain values;
 * digests and wrapped keys are hexadecimal.
 */

/** A pack's header, then one line for each frame. */
export async function* catPack({ store }: Engine, pack: number): AsyncGenerator<object> {
  const { header, size, entries } = await formatted(() => store.packs.footer(pack));
  yield { pack, ...header, size, frames: entries.length };
  const bytes = new Uint8Array(FRAME_HEADER_LENGTH);
  for (const { offset, length } of entries) {
    await store.packs.read(bytes, pack, offset);
    yield { offset, length, ...(await formatted(async () => parseFrameHeader(bytes))) };
  }
}

/**
 * The nodes of the manifest of a disk, or of a file of the machine, from the root down, parents before children; an
 * inner node that occurs several times is followed once.
 */
export async function* catManifest(
  engine: Engine,
  { point, disk }: { readonly point: string; readonly disk: string },
  secrets: SecretSource,
): AsyncGenerator<object> {
  const { set, point: record } = await openPoint(engine, point, secrets);
  const parts = [...record.disks, ...(record.files ?? [])];
  const root = parts.find(({ name }) => name === disk);
  if (!root) {
    const has = parts.map(({ name }) => name).join(', ');
    throw new CatalogError(
      'NOT_FOUND',
      `${record.id} has no disk or file "${disk}": it has ${has}`,
    );
  }
  await using _lease = await holdPoint(engine.store, set, record, `inspect ${record.id}`);
  const nodes = nodeReader(engine.store.packs, frameCodec(set.keys));

  const followed = new Set<string>();

  async function* walk(reference: Reference, level: number): AsyncGenerator<object> {
    const { entries } = await nodes.node(reference);
    yield { level, ...reference, entries };
    const key = `${level} ${digestKey(reference.digest)}`;
    if (level === 0 || followed.has(key)) return;
    followed.add(key);
    for (const entry of entries) yield* walk(entry, level - 1);
  }
  yield { disk, size: root.size, level: rootLevel(root.size), root: root.reference ?? null };
  if (root.reference) yield* walk(root.reference, rootLevel(root.size));
}

export async function catPoint(engine: Engine, query: string, secrets: SecretSource) {
  return (await openPoint(engine, query, secrets)).point;
}

export async function catSet({ store }: Engine, name: string) {
  return readSet(store, name);
}

export async function catProfile(
  engine: Engine,
  { set, machine }: { readonly set: string; readonly machine: string },
  secrets: SecretSource,
) {
  const open = await openSet(engine, set, secrets);
  const profile = await loadProfile(engine.store, open, machine);
  if (profile) return profile;
  throw new CatalogError('NOT_FOUND', `set "${set}" has no boot profile of "${machine}"`);
}

export async function catSession({ store }: Engine, id: string) {
  return findSession(store, id);
}

/** Turns a decoding failure into CORRUPT. */
export async function formatted<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new StoreError('CORRUPT', cause.message, { cause });
  }
}
