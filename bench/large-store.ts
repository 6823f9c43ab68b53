import { randomFillSync } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { listPoints, newPointId } from '../src/catalog/points.ts';
import { publishPoint } from '../src/catalog/publication.ts';
import { readSet, unlockSet } from '../src/catalog/sets.ts';
import {
  encodePackFooter,
  encodePackHeader,
  type PackEntry,
} from '../src/formats/store/packs/pack.ts';
import { indexPath, levelIndex } from '../src/store/index/block-index.ts';
import { packPath } from '../src/store/packs/pack-path.ts';
import { openStore } from '../src/store/directory/store.ts';
import { realWorld } from '../src/sys/world.ts';

/** As blocks of 64 KiB come out of the encoder. */
const FRAME_LENGTH = 40 * 1024;
const FRAMES_A_PACK = 1600;
const HEADER_LENGTH = 4096;
const DIGEST_LENGTH = 32;

export interface Growth {
  readonly blocks: number;
  readonly points: number;
}

/**
 * Makes a store as large as one of years, beside what is in it. Real are the packs' sizes, headers and footers, the
 * index with an entry for each block, and the recovery points. The frames themselves are holes: no bench reads them.
 */
export async function growStore(directory: string, { blocks, points }: Growth): Promise<void> {
  const world = realWorld();
  await using store = await openStore(world, directory);
  const record = await readSet(store, 'bench');
  const passphrase = Buffer.from('bench');
  const set = await unlockSet(record, { kind: 'passphrase', passphrase });
  const first = (await store.packs.list()).at(-1)! + 1;
  await using index = await levelIndex(indexPath(store), store.indexMemory);
  const digests = new Uint8Array(FRAMES_A_PACK * DIGEST_LENGTH);
  for (let made = 0, number = first; made < blocks; made += FRAMES_A_PACK, number++) {
    randomFillSync(digests);
    const entries = Array.from({ length: FRAMES_A_PACK }, (_, n) => ({
      digest: digests.slice(n * DIGEST_LENGTH, (n + 1) * DIGEST_LENGTH),
      offset: HEADER_LENGTH + n * FRAME_LENGTH,
      length: FRAME_LENGTH,
    }));
    const header = encodePackHeader({ kind: 'block', number, domain: record.domain });
    const size = writePack(packPath(join(directory, 'packs'), number), header, entries);
    await index.addPack({ pack: number, size, isSound: true }, entries);
  }
  const [point] = (await listPoints(store, 'bench', set.keys)).points;
  for (let n = 0; n < points; n++) {
    const machine = `vm${n % 50}`;
    await publishPoint(store, set, {
      ...{ ...point!, machine, parent: undefined },
      id: newPointId(world, machine),
    });
  }
}

function writePack(path: string, header: Uint8Array, entries: readonly PackEntry[]): number {
  mkdirSync(dirname(path), { recursive: true });
  const end = HEADER_LENGTH + FRAMES_A_PACK * FRAME_LENGTH;
  const footer = encodePackFooter(entries, end);
  const fd = openSync(path, 'w');
  writeSync(fd, header, 0, header.length, 0);
  ftruncateSync(fd, end);
  writeSync(fd, footer, 0, footer.length, end);
  closeSync(fd);
  return end + footer.length;
}
