import { createHash } from 'node:crypto';
import {
  decodePreface,
  encodePreface,
  PLACE_LENGTH,
} from '../../../src/formats/store/sessions/overlay-log.ts';
import type { CrashingFs } from '../../support/crashing-fs.ts';
import { pattern } from '../../support/random.ts';
import { open, PAGE, PLACES, type Rig } from './rig.ts';

const PAGES = 24;

/** The same pages, some of them a second time: more than one segment. */
export async function writeAll(disk: CrashingFs, it: Rig, salt: number): Promise<void> {
  const overlay = await open(disk.files, it);
  for (let count = 0; count < PLACES; count++) {
    await overlay.write(pattern(PAGE, salt + count), (count % PAGES) * PAGE, 'cached');
    if (count % 5 === 0) await overlay.flush();
  }
  await overlay.flush();
  await overlay.idle();
  await overlay[Symbol.asyncDispose]();
}

/** What is read of all pages, as a digest: a comparison of long contents that fails takes gigabytes. */
export async function contents(disk: CrashingFs, it: Rig) {
  await using overlay = await open(disk.files, it);
  const all = new Uint8Array(PAGES * PAGE);
  await overlay.read(all, 0);
  return { all: createHash('sha256').update(all).digest('hex'), readOnly: overlay.readOnly };
}

/** As an attacker with write access to the disk can do it: prefaces have no seal. */
export function withPrefaces(
  bytes: Uint8Array,
  alter: (preface: Uint8Array) => Uint8Array,
): Uint8Array {
  const altered = bytes.slice();
  for (const at of [0, (PLACES - 1) * PLACE_LENGTH]) {
    if (at + PLACE_LENGTH > bytes.length) continue;
    altered.set(alter(bytes.slice(at, at + PLACE_LENGTH)), at);
  }
  return altered;
}

/** A segment or its summary. */
export function renumbered(bytes: Uint8Array, number: number): Uint8Array {
  return withPrefaces(bytes, (preface) => encodePreface({ ...decodePreface(preface), number }));
}
