import { join } from 'node:path/posix';
import type { Store } from '../store/directory/store.ts';
import type { PointPlace } from './point-places.ts';
import { setDirectory } from './set-copies.ts';

/* Where the proofs of recovery points lie: formats/store/catalog/proof.md. */

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

/** Removes the proofs of a point; needs no room on the disk. The caller has the turn of leases. */
export async function dropProofs(store: Store, place: PointPlace): Promise<void> {
  const { files } = store;
  const { records, evidence } = await proofFiles(store, place.set);
  const { record, evidence: pathOf } = proofPaths(store, place);
  // First what refers to the rest.
  if (records.has(place.id)) await files.unlink(record);
  for (const { id, number } of evidence) {
    if (id === place.id) await files.unlink(pathOf(number));
  }
}
