import { loadProfile, saveProfile } from '../../catalog/profiles.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import {
  type BootProfile,
  type DiskProfile,
  PROFILE_RANGES_MAX,
} from '../../formats/store/catalog/profile.ts';
import { GiB, MiB } from '../../lib/sizes.ts';
import type { Store } from '../../store/directory/store.ts';
import type { ManifestDisk } from '../../store/read/manifest-disk.ts';
import type { ByteRange } from '../../lib/bytes.ts';

/** The time after which a boot is over. */
export const RECORD_MS = 5 * 60_000;
/** Reading more than this is not a boot, but a copy or a scan. */
const RECORDED_MAX = GiB;
/** A start that read less than this share of the profile's bytes was not a complete boot. */
const SHARE_MIN = 0.5;

/** Records first reads in order, until `profile` is called. */
export function recordBoot(disks: ReadonlyMap<string, ManifestDisk>) {
  const ranges = new Map<string, ByteRange[]>();
  let count = 0;
  let length = 0;
  for (const [name, disk] of disks) {
    const list: ByteRange[] = [];
    ranges.set(name, list);
    disk.observe((range) => {
      if (count >= PROFILE_RANGES_MAX || length > RECORDED_MAX) return;
      count++;
      length += range.length;
      list.push(range);
    });
  }
  return {
    profile(machine: string): BootProfile {
      for (const disk of disks.values()) disk.observe(undefined);
      const made = [...ranges].map(([name, ranges]): DiskProfile => ({ name, ranges }));
      return { machine, disks: made };
    },
  };
}

/** Stores the profile, unless it is from a start that got less far than the one before. */
export async function keepProfile(store: Store, set: OpenSet, profile: BootProfile): Promise<void> {
  const before = await loadProfile(store, set, profile.machine);
  const share = before ? lengthOf(profile) / Math.max(1, lengthOf(before)) : 1;
  if (lengthOf(profile) < MiB || share < SHARE_MIN) return;
  await saveProfile(store, set, profile);
}

/** Reads what the last boot read, in the order of the packs, with a lower priority than the guest's reads. */
export async function prefetchBoot(
  disks: ReadonlyMap<string, ManifestDisk>,
  profile: BootProfile,
  { limit, signal }: { readonly limit: number; readonly signal: AbortSignal },
): Promise<number> {
  let fetched = 0;
  for (const { name, ranges } of profile.disks) {
    const disk = disks.get(name);
    if (!disk || fetched >= limit) continue;
    const { size } = disk.geometry;
    const inside = ranges.filter(({ offset, length }) => offset + length <= size);
    fetched += await disk.prefetch(inside, limit - fetched, signal);
  }
  return fetched;
}

function lengthOf({ disks }: BootProfile): number {
  return disks.flatMap(({ ranges }) => ranges).reduce((sum, { length }) => sum + length, 0);
}
