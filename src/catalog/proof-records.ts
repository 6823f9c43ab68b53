import { join } from 'node:path/posix';
import {
  decodeProofRecord,
  type KeptProof,
  type ProofRecord,
} from '../formats/store/catalog/proof.ts';
import type { Store } from '../store/directory/store.ts';
import { CatalogError } from './catalog-error.ts';
import type { PointPlace } from './point-places.ts';
import { readRecord } from './read-record.ts';
import { setDirectory } from './set-copies.ts';

/*
 * Records of proofs, for lists: where they lie, and what they say without a key. Grammar:
 * formats/store/catalog/proof.md.
 */

/** Three proofs with eight parts of 32 frames. */
const RECORD_LENGTH_MAX = 256 * 1024;

const SUFFIX = '.proof';
const EVIDENCE = /^(.+)\.([1-9]\d{0,14})\.evidence$/;

export interface ProofPaths {
  readonly directory: string;
  readonly record: string;
  evidence(number: number): string;
}

export function proofPaths(store: Store, { set, id }: PointPlace): ProofPaths {
  const directory = join(setDirectory(store, set), 'proofs');
  return {
    directory,
    record: join(directory, id + SUFFIX),
    evidence: (number) => join(directory, `${id}.${number}.evidence`),
  };
}

/** The points of the set that have a record of proofs, and the evidence that lies there, whosever it is. */
export interface ProofFiles {
  readonly records: ReadonlySet<string>;
  readonly evidence: readonly { readonly id: string; readonly number: number }[];
}

/** From the names alone. */
export async function proofFiles(store: Store, set: string): Promise<ProofFiles> {
  const { files } = store;
  const { directory } = proofPaths(store, { set, id: '' });
  const names = (await files.stat(directory)) ? await files.list(directory) : [];
  return {
    records: new Set(
      names.filter((it) => it.endsWith(SUFFIX)).map((it) => it.slice(0, -SUFFIX.length)),
    ),
    evidence: names.flatMap((name) => {
      const [, id, number] = EVIDENCE.exec(name) ?? [];
      return id === undefined ? [] : [{ id, number: Number(number) }];
    }),
  };
}

/** Removes the proofs of points of a set; needs no room on the disk. The caller has the turn of leases. */
export async function dropProofs(store: Store, set: string, ids: readonly string[]): Promise<void> {
  const { files } = store;
  const { records, evidence } = await proofFiles(store, set);
  const evidenceOf = Map.groupBy(evidence, ({ id }) => id);
  // First what refers to the rest, durably: a power cut may undo one removal and not the other.
  const proven = ids.filter((id) => records.has(id));
  for (const id of proven) await files.unlink(proofPaths(store, { set, id }).record);
  if (proven.length > 0) await files.syncDirectory(proofPaths(store, { set, id: '' }).directory);
  for (const id of ids) {
    const { evidence: pathOf } = proofPaths(store, { set, id });
    for (const { number } of evidenceOf.get(id) ?? []) await files.unlink(pathOf(number));
  }
}

/** The proofs of a point, the newest first, by what needs no key. A damaged record counts as none. */
export async function proofsOf(
  store: Store,
  place: PointPlace,
  key?: Uint8Array,
): Promise<readonly KeptProof[]> {
  try {
    return (await readProofs(store, place, key))?.proofs ?? [];
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return [];
  }
}

/** Undefined: the point was not tried. Rejects CORRUPT. */
export async function readProofs(
  store: Store,
  place: PointPlace,
  key: Uint8Array | undefined,
): Promise<ProofRecord | undefined> {
  const { files } = store;
  const path = proofPaths(store, place).record;
  if (!(await files.stat(path))) return undefined;
  const record = await readRecord({ files, store }, path, RECORD_LENGTH_MAX, (bytes) =>
    decodeProofRecord(bytes, key),
  );
  if (record.set === place.set && record.point === place.id) return record;
  throw new CatalogError('CORRUPT', `${path}: it is of ${record.set}/${record.point}`);
}
