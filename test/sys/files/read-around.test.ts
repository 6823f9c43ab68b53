import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import type { File } from '../../../src/sys/files/file-system.ts';
import { readAround } from '../../../src/sys/files/read-around.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';

const PIECE = 4096;

/** A file of ones whose disk fails for these pieces, `fails` times each. */
function failing(bad: (piece: number) => boolean, fails = Infinity) {
  const tried = new Map<number, number>();
  const file = {
    async read(into: Uint8Array, offset: number) {
      const first = Math.floor(offset / PIECE);
      const end = Math.ceil((offset + into.length) / PIECE);
      for (let piece = first; piece < end; piece++) {
        const count = tried.get(piece) ?? 0;
        if (!bad(piece) || count >= fails) continue;
        tried.set(piece, count + 1);
        throw new SystemError('IO', 'the device has failed');
      }
      into.fill(1);
      return into.length;
    },
  } as unknown as File;
  const calls = () => [...tried.values()].reduce((sum, it) => sum + it, 0);
  return { file, calls };
}

test('what the disk cannot give is zeros and named, the rest is read', async () => {
  const { file } = failing((piece) => piece === 2);
  const into = new Uint8Array(3 * PIECE);
  deepEqual(await readAround(file, into, PIECE + 100), [{ from: 2 * PIECE, to: 3 * PIECE }]);
  deepEqual(
    [into[0], into[PIECE - 100], into[2 * PIECE - 101], into[2 * PIECE - 100]],
    [1, 0, 0, 1],
  );
});

test('a disk that fails once gives all of it', async () => {
  const { file } = failing((piece) => piece === 1, 2);
  const into = new Uint8Array(4 * PIECE);
  deepEqual(await readAround(file, into, 0), []);
  equal(into.includes(0), false);
});

test('a disk that gives nothing any longer is not asked for each sector', async () => {
  const { file, calls } = failing(() => true);
  const into = new Uint8Array(256 * PIECE);
  equal((await readAround(file, into, 0)).length, 256);
  equal(calls() <= 1 + 16 * 3, true, `${calls()} reads`);
});
