import { deepEqual, equal } from 'node:assert/strict';
import { listPoints } from '../../src/catalog/points.ts';
import type { OpenSet } from '../../src/catalog/sets.ts';
import type { PointRecord } from '../../src/formats/store/catalog/point.ts';
import { openBlockReader } from '../../src/store/read/block-reader.ts';
import { checkPacks, manifestChecker } from '../../src/store/check/check.ts';
import type { Problem } from '../../src/store/check/problem.ts';
import { manifestDisk } from '../../src/store/read/manifest-disk.ts';
import { openStore } from '../../src/store/directory/store.ts';
import type { FileSystem } from '../../src/sys/files/file-system.ts';
import { HOME, simulatedWorld } from './store.ts';

/** Every point that is listed holds what `contentsOf` says, and every pack is sound. Answers the points. */
export async function soundness(
  files: FileSystem,
  set: OpenSet,
  contentsOf: (point: PointRecord, index: number) => Uint8Array,
  home = HOME,
): Promise<readonly PointRecord[]> {
  const world = simulatedWorld(files, 99);
  await using store = await openStore(world, home);
  const problems: Problem[] = [];
  const onProblem = (problem: Problem): void => void problems.push(problem);
  const { points, damaged } = await listPoints(store, 'set', set.keys);
  const checker = manifestChecker(store.packs, set.keys, onProblem);
  for (const point of points) {
    for (const disk of point.disks) await checker.check(disk, point.id);
  }
  const options = { readData: true, keysOf: () => set.keys, signal: undefined };
  await checkPacks(store.packs, { ...options, onProgress() {}, onProblem });
  deepEqual(problems, []);
  deepEqual(damaged, []);
  await using reader = openBlockReader(store, { cacheLength: 4 * 2 ** 20 });
  for (const [index, point] of points.entries()) {
    const [root] = point.disks;
    await using disk = manifestDisk(reader, { name: 'vda', root: root!, keys: set.keys });
    const got = new Uint8Array(root!.size);
    await disk.read(got, 0);
    equal(Buffer.compare(got, contentsOf(point, index)), 0, `contents of point ${index}`);
  }
  return points;
}
