import { deepEqual, equal, ok } from 'node:assert/strict';
import type { PointRecord } from '../../../src/formats/store/catalog/point.ts';
import {
  decodeExportHead,
  EXPORT_HEAD_LENGTH,
} from '../../../src/formats/store/exports/export-record.ts';
import { lookAtExport } from '../../../src/ingest/exports/look-export.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { emptyStore, exportOf, importInto, pipeOf } from '../../support/exports.ts';
import { noise, seeded } from '../../support/random.ts';
import { soundness } from '../../support/soundness.ts';
import { newStore, simulatedWorld, storePoint } from '../../support/store.ts';

/* A small export of two points that share blocks, and what becomes of it when it is damaged. */

const FIRST = new Uint8Array(2 ** 20);
FIRST.set(noise(9000, 1));
FIRST.set(noise(5000, 2), 300_000);
const SECOND = FIRST.slice();
SECOND.set(noise(3000, 3), 600_000);

export async function smallExport(passphrase?: string) {
  const { store, set } = await newStore(simulatedWorld(), passphrase ? { passphrase } : {});
  const first = await storePoint(store, set, FIRST);
  const second = await storePoint(store, set, SECOND);
  const contents = new Map([
    [first.id, FIRST],
    [second.id, SECOND],
  ]);
  return { set, contents, bytes: await exportOf(store, set) };
}

export type SmallExport = Awaited<ReturnType<typeof smallExport>>;

/** The records of an export, whole. */
export function recordsOf(bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { length } = decodeExportHead(bytes.subarray(at));
    const end = at + EXPORT_HEAD_LENGTH + length;
    found.push(bytes.subarray(at, end));
    at = end;
  }
  return found;
}

/** The damage is noticed by reading alone. Answers where. */
export async function requireNoticed(bytes: Uint8Array, where: string): Promise<readonly number[]> {
  const options = { isRead: true, signal: undefined, onProgress() {} };
  const { damage } = await lookAtExport(pipeOf(bytes, 9973), options);
  ok(damage.length > 0, `${where}: not noticed`);
  return damage.map(({ offset }) => offset);
}

/** Each point is imported as it was, or named as failed. Answers how many were imported. */
export async function requireSound(
  { set, contents }: SmallExport,
  bytes: Uint8Array,
  where: string,
): Promise<number> {
  const { files } = crashingFs(seeded(5));
  const other = await emptyStore(files);
  const { points, damage } = await importInto(other, set, bytes);
  ok(damage.length > 0, `${where}: not noticed`);
  const imported = points.filter(({ state }) => state === 'imported').map(({ id }) => id);
  if (imported.length === 0) return 0;
  const there = await soundness(files, set, ({ id }: PointRecord) => contents.get(id)!);
  deepEqual(new Set(there.map(({ id }) => id)), new Set(imported), where);
  equal(imported.length, new Set(imported).size, where);
  return imported.length;
}
