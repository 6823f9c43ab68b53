import { FormatError } from '../formats/format-error.ts';
import type { PointRecord } from '../formats/store/catalog/point.ts';
import {
  encodeProofRecord,
  type KeptProof,
  type ProofOutcome,
  type ProofRecord,
  PROOFS_KEPT,
} from '../formats/store/catalog/proof.ts';
import {
  checkEvidence,
  type Evidence,
  EVIDENCE_LENGTH_MAX,
  openEvidence,
  sealEvidence,
} from '../formats/store/catalog/proof-evidence.ts';
import type { ProofResult } from '../formats/store/catalog/proof-result.ts';
import type { Store } from '../store/directory/store.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { CatalogError } from './catalog-error.ts';
import { leaseTurn } from './leases.ts';
import { type PointPlace, pointIds } from './point-places.ts';
import { dropProofs, proofFiles, proofPaths, proofsOf, readProofs } from './proof-records.ts';
import { setDirectory } from './set-copies.ts';
import type { OpenSet } from './sets.ts';

/*
 * Proofs of recovery points, beside these: a record of the last ones, and a file with the evidence of each. References
 * are written after what they refer to. Grammar, and what a crash leaves: formats/store/catalog/proof.md.
 */

/** Rejects NOT_FOUND if the point was forgotten in the meantime: nothing is kept then. */
export async function keepProof(
  store: Store,
  set: OpenSet,
  { id, machine }: Pick<PointRecord, 'id' | 'machine'>,
  result: ProofResult,
  release: string,
): Promise<KeptProof> {
  const { files, random } = store;
  const place = { set: set.name, id };
  const paths = proofPaths(store, place);
  const { bytes, parts } = sealEvidence(result, set.keys, (length) => random.bytes(length));
  // No other proof is written, and no point is forgotten, in the meantime.
  await using _turn = await leaseTurn(store, `verify ${id}`);
  if (!(await pointIds(store, set.name)).includes(id)) {
    throw new CatalogError('NOT_FOUND', `${id} was forgotten while it was verified`);
  }
  if (!(await files.stat(paths.directory))) {
    await files.makeDirectory(paths.directory);
    await files.syncDirectory(setDirectory(store, set.name));
  }
  const before = await wholeProofs(store, place, set.keys.record);
  const number = 1 + (await lastNumber(store, place));
  const { verdict, state, started, timings } = result;
  const kept = { verdict, state, started, totalMs: timings.totalMs, release, number, parts };
  const proofs = [kept, ...before].slice(0, PROOFS_KEPT);
  await putDurably(files, paths.evidence(number), bytes);
  const record = { set: set.name, machine, point: id, proofs };
  await putDurably(files, paths.record, encodeProofRecord(record, set.keys.record));
  await dropUnnamed(store, record);
  return kept;
}

export interface ShownProof extends ProofOutcome, Evidence {
  /** Those before it that are kept, the newest first. */
  readonly earlier: readonly ProofOutcome[];
}

/** The last proof with its evidence; undefined: the point was not tried. Rejects CORRUPT. */
export async function lastProof(
  store: Store,
  set: OpenSet,
  id: string,
): Promise<ShownProof | undefined> {
  const place = { set: set.name, id };
  const record = await readProofs(store, place, set.keys.record);
  const [last, ...earlier] = record?.proofs ?? [];
  if (!last) return undefined;
  const { parts, number, ...outcome } = last;
  const evidence = await readEvidence(store, place, number, (bytes) =>
    openEvidence(bytes, parts, set.keys),
  );
  return { ...outcome, ...evidence, earlier };
}

/** What is damaged of the proofs of a set; without its key their records are not authenticated. */
export async function proofDamage(
  store: Store,
  set: string,
  key: Uint8Array | undefined,
): Promise<readonly { readonly path: string; readonly reason: string }[]> {
  const found: { readonly path: string; readonly reason: string }[] = [];
  for (const id of (await proofFiles(store, set)).records) {
    const place = { set, id };
    const path = proofPaths(store, place).record;
    try {
      for (const proof of (await readProofs(store, place, key))?.proofs ?? []) {
        await checkKept(store, place, proof);
      }
    } catch (cause) {
      if (!(cause instanceof CatalogError)) throw cause;
      // The point may have been forgotten in the meantime, with its proofs.
      if (await store.files.stat(path)) found.push({ path, reason: cause.message });
    }
  }
  return found;
}

/** Those whose evidence is whole: verifying a point again mends a damaged proof. */
async function wholeProofs(
  store: Store,
  place: PointPlace,
  key: Uint8Array,
): Promise<readonly KeptProof[]> {
  const whole: KeptProof[] = [];
  for (const proof of await proofsOf(store, place, key)) {
    try {
      await checkKept(store, place, proof);
      whole.push(proof);
    } catch (cause) {
      if (!(cause instanceof CatalogError)) throw cause;
    }
  }
  return whole;
}

async function checkKept(
  store: Store,
  place: PointPlace,
  { number, parts }: KeptProof,
): Promise<void> {
  await readEvidence(store, place, number, (bytes) => checkEvidence(bytes, parts));
}

async function readEvidence<T>(
  store: Store,
  place: PointPlace,
  number: number,
  decode: (bytes: Uint8Array) => T,
): Promise<T> {
  const path = proofPaths(store, place).evidence(number);
  try {
    return decode(await store.files.readFile(path, EVIDENCE_LENGTH_MAX));
  } catch (cause) {
    const isGone = cause instanceof SystemError && cause.code === 'NOT_FOUND';
    if (!isGone && !(cause instanceof FormatError)) throw cause;
    const what = isGone ? 'it is missing' : cause.message;
    const advice = `"holdfast verify ${place.id}" makes a new proof`;
    throw new CatalogError('CORRUPT', `${path}: ${what}; ${advice}`, { cause });
  }
}

/** The greatest number of evidence of the point, also of what no record names. */
async function lastNumber(store: Store, { set, id }: PointPlace): Promise<number> {
  const { evidence } = await proofFiles(store, set);
  return Math.max(0, ...evidence.flatMap((it) => (it.id === id ? it.number : [])));
}

/** Removes evidence that no record names, and the proofs of points that are gone. */
async function dropUnnamed(store: Store, { set, point, proofs }: ProofRecord): Promise<void> {
  const { records, evidence } = await proofFiles(store, set);
  const ids = new Set(await pointIds(store, set));
  for (const { id, number } of evidence) {
    const isNamed = id === point ? proofs.some((it) => it.number === number) : ids.has(id);
    if (!isNamed) await store.files.unlink(proofPaths(store, { set, id }).evidence(number));
  }
  const gone = [...records].filter((id) => !ids.has(id));
  await dropProofs(store, set, gone);
}
