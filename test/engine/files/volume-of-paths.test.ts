import { equal, rejects } from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { volumeOfPaths } from '../../../src/engine/files/volume-of-paths.ts';
import type { Volume } from '../../../src/file-restore/volumes/volumes.ts';
import { without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const skip = without('find', 'prlimit');
const directory = temporaryDirectory();
const { signal } = new AbortController();

/** A volume that is a directory with files; without any it cannot be read at all. */
function volume(name: string, files: readonly string[]) {
  const path = join(directory, name);
  if (files.length > 0) mkdirSync(path, { recursive: true });
  for (const file of files) writeFileSync(join(path, file), '');
  return { volume: { name } as Volume, path };
}

test('a volume that cannot be read hides no file of the others', { skip }, async () => {
  const mounted = [volume('vda1', []), volume('vda2', ['a', 'b']), volume('vda3', ['b'])];
  const of = (...paths: string[]) => volumeOfPaths({ mounted, failed: [] }, paths, signal);
  equal((await of('a')).volume.name, 'vda2');
  equal((await of('a', 'b')).volume.name, 'vda2');
  await rejects(of('b'), { code: 'AMBIGUOUS', message: /^vda2, vda3 have b/ });
  await rejects(of('c'), { code: 'UNREADABLE', message: /has c, as far as .* vda1: / });
  await rejects(of('../c'), { code: 'BAD_PATH' });
  const failed = [{ volume: { name: 'vda' } as Volume, reason: 'swap' }];
  await rejects(volumeOfPaths({ mounted: [], failed }, ['a'], signal), {
    code: 'UNSUPPORTED',
    message: /vda: swap/,
  });
});
