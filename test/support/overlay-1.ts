import { readFileSync } from 'node:fs';
import { inflateSync } from 'node:zlib';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { memoryDevice } from '../../src/block/memory.ts';
import type { FileSystem } from '../../src/sys/files/file-system.ts';
import { pattern } from './random.ts';

/*
 * Overlays of version 1 of a disk `vda`, as the release of 22 November left them: `clean` after a close, `killed` with
 * recent writes (of the first boot of crashing-fs.ts), `torn` by a power cut while its map was appended to, `rotten`
 * with a flipped bit before the end of its map. Each file is deflated, by its name; so is what the disk then reads as.
 */
const FIXTURES = new URL('../fixtures/overlay-1.json', import.meta.url);

const SIZE_1 = 40 * 4096 + 1000;

export type Case1 = 'clean' | 'killed' | 'torn' | 'rotten';

export interface Overlay1 {
  /** Undefined: it is refused. */
  readonly contents: Uint8Array | undefined;
  readonly written: readonly object[] | undefined;
}

/** What each began from. */
export function base1(): BlockDevice {
  return memoryDevice(pattern(SIZE_1, 7));
}

/** Puts the files into `directory`, which is there. */
export async function overlayOfVersion1(
  files: FileSystem,
  directory: string,
  which: Case1,
): Promise<Overlay1> {
  const found = JSON.parse(readFileSync(FIXTURES, 'utf8')) as Record<
    Case1,
    { files: Record<string, string>; contents?: string; written?: object[] }
  >;
  const { files: named, contents, written } = found[which];
  for (const [name, bytes] of Object.entries(named)) {
    await using file = await files.create(`${directory}/${name}`);
    await file.write(inflate(bytes), 0);
    await file.sync();
  }
  await files.syncDirectory(directory);
  return { contents: contents === undefined ? undefined : inflate(contents), written };
}

function inflate(text: string): Uint8Array {
  return Uint8Array.from(inflateSync(Buffer.from(text, 'base64')));
}
