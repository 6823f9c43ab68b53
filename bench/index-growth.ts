import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { indexPath, levelIndex } from '../src/store/index/block-index.ts';
import { packPath } from '../src/store/packs/pack-path.ts';

/** As blocks of 64 KiB come out of the encoder. */
const FRAME_LENGTH = 40 * 1024;
const FRAMES_A_PACK = 1600;
const HEADER_LENGTH = 4096;
const PACK_LENGTH = HEADER_LENGTH + (FRAMES_A_PACK + 2) * FRAME_LENGTH;
const DIGEST_LENGTH = 32;

/** The digest of block `at` of `blocks`: they ascend, so that LevelDB need not sort them for hours. */
export function syntheticDigest(at: number, blocks: number): Buffer {
  const digest = Buffer.alloc(DIGEST_LENGTH);
  digest.writeUInt32BE(Math.floor((at * 2 ** 32) / blocks));
  digest.writeUInt32BE(at % 2 ** 32, 4);
  for (let word = 8; word < DIGEST_LENGTH; word += 4) {
    digest.writeInt32BE(Math.imul(at + word, 0x9e3779b1), word);
  }
  return digest;
}

/**
 * Makes a new store as large as one of years, as far as a writer sees it: an index with an entry for each block, and
 * packs of the sizes that it remembers, which are holes. Nothing can be read from it.
 */
export async function growIndex(store: string, blocks: number, memory: number): Promise<void> {
  const directory = indexPath({ directory: store });
  mkdirSync(directory, { recursive: true });
  await using index = await levelIndex(directory, memory);
  for (let made = 0, pack = 1; made < blocks; made += FRAMES_A_PACK, pack++) {
    const entries = Array.from({ length: Math.min(FRAMES_A_PACK, blocks - made) }, (_, n) => ({
      digest: syntheticDigest(made + n, blocks),
      ...{ offset: HEADER_LENGTH + n * FRAME_LENGTH, length: FRAME_LENGTH },
    }));
    makeHole(packPath(join(store, 'packs'), pack));
    await index.addPack({ pack, size: PACK_LENGTH, isSound: true }, entries);
  }
}

function makeHole(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(path, 'w');
  ftruncateSync(fd, PACK_LENGTH);
  closeSync(fd);
}
