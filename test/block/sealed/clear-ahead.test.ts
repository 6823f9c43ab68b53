import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { PLACE_LENGTH } from '../../../src/formats/store/sessions/overlay-log.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { seeded } from '../../support/random.ts';
import { bytesOf } from './oracle.ts';
import { open, PAGE, PLACES, prepared, rig } from './rig.ts';

const SECOND_PREFACE = (PLACES - 1) * PLACE_LENGTH;

interface Written {
  readonly path: string;
  readonly at: number;
  readonly length: number;
  readonly isClear: boolean;
}

function recording(files: FileSystem) {
  const written: Written[] = [];
  const note = (path: string, from: Uint8Array, at: number): void => {
    written.push({ path, at, length: from.length, isClear: from.every((byte) => byte === 0) });
  };
  const recorder: FileSystem = {
    ...files,
    async open(path, access) {
      const file = await files.open(path, access);
      return {
        ...file,
        async write(from, at) {
          note(path, from, at);
          await file.write(from, at);
        },
        writeNow(from, at) {
          note(path, from, at);
          file.writeNow(from, at);
        },
      };
    },
  };
  return { written, files: recorder };
}

for (const each of [1, 40]) {
  const title = 'places are cleared ahead of flushes if these come often, and never what is sealed';
  test(`${title} (${each} pages a flush)`, async () => {
    const it = rig(seeded(1), 1, { size: 400 * PAGE });
    const disk = await prepared(it);
    const { files, written } = recording(disk.files);
    const overlay = await open(files, it);
    written.length = 0;
    for (let n = 0; n < 200; n += each) {
      const writes = Array.from({ length: each }, (_, i) => {
        const offset = (n + i) * PAGE;
        return overlay.write(bytesOf(1, offset, PAGE), offset, 'cached');
      });
      await Promise.all(writes);
      await overlay.flush();
    }
    const slots = written.filter(({ path }) => path.endsWith('.seg'));
    const ends = new Map<string, number>();
    for (const { path, at, length, isClear } of slots) {
      if (at === SECOND_PREFACE) continue;
      const end = ends.get(path) ?? 0;
      if (isClear) ok(at >= end, `${path}: ${at} is cleared, ${end} is the end of what is sealed`);
      else ends.set(path, Math.max(end, at + length));
    }
    const clears = slots.filter(({ isClear }) => isClear);
    if (each === 1) ok(clears.length > 2 && clears.length < 60, `${clears.length} of 200 flushes`);
    else equal(clears.length, 0);
    for (let n = 0; n < 200; n++) {
      const into = new Uint8Array(PAGE);
      await overlay.read(into, n * PAGE);
      ok(Buffer.from(into).equals(bytesOf(1, n * PAGE, PAGE)), `page ${n}`);
    }
  });
}
