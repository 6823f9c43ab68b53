import { wantedMarks } from '../../store/packs/wanted-marks.ts';
import type { World } from '../../sys/world.ts';
import { join } from 'node:path/posix';
import { readScrub } from './scrub-record.ts';

/** Disks that need damaged frames, for people: as the last scrub found them, then those that were read since. */
export async function hurtLines(world: World, directory: string): Promise<string[]> {
  const { hurt: lines } = await readScrub(world, directory);
  const met = await wantedMarks(world.files, join(directory, 'wanted')).hurt();
  const names = met.map(({ set, point, disk }) => `${set}/${point}/${disk}`);
  const isListed = (name: string): boolean => lines.some((line) => line.startsWith(`${name} `));
  return [
    ...lines,
    ...names.filter((name) => !isListed(name)).map((name) => `${name} (met by a reader)`),
  ];
}
