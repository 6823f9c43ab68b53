import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import {
  decodeGrowth,
  encodeGrowth,
  GROWTH_SAMPLES_MAX,
  type GrowthSample,
} from '../../formats/store/service/growth.ts';
import { ticker } from '../../sys/base/ticker.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';

/* The growth of the store's disk, recorded now and then, and when it will be full at that rate. */

const NAME = 'growth.json';
const LENGTH_MAX = 1024 * 1024;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Includes weekly events, such as a full backup on Sunday, and excludes what was long ago. */
const LOOKED_AT_MS = 7 * DAY_MS;
/** A forecast from less would be a guess: nights differ from days. */
const SHORTEST_MS = DAY_MS;

export interface Forecast {
  /** Since when the present disk has been measured; undefined: not yet. */
  readonly since: string | undefined;
  /** Negative if it empties; undefined: it was not measured for long enough. */
  readonly bytesPerDay: number | undefined;
  /** Undefined: it does not fill, or it is not known. */
  readonly fullAt: string | undefined;
}

/** Empty if there are none, or they cannot be read. Rejects IO. */
export async function readGrowth({ files }: World, directory: string): Promise<GrowthSample[]> {
  const path = join(directory, NAME);
  if (!(await files.stat(path))) return [];
  try {
    return decodeGrowth(await files.readFile(path, LENGTH_MAX));
  } catch (cause) {
    if (cause instanceof FormatError) return [];
    throw cause;
  }
}

/** Records how full the disk is, once an hour, until disposed. */
export function recordGrowth(
  world: World,
  directory: string,
  onTrouble: (message: string) => void,
): AsyncDisposable {
  const { files, clock } = world;
  async function note(): Promise<number> {
    const samples = await readGrowth(world, directory);
    const now = clock.now().getTime();
    const last = samples.at(-1);
    // A clock that was set back must not stop the recording.
    const waitMs = last ? Date.parse(last.time) + HOUR_MS - now : 0;
    if (waitMs > 0 && waitMs <= HOUR_MS) return waitMs;
    const { totalBytes, freeBytes } = await files.space(directory);
    const usedBytes = Math.max(0, totalBytes - freeBytes);
    const sample = { time: clock.now().toISOString(), usedBytes, totalBytes };
    const kept = [...samples, sample].slice(-GROWTH_SAMPLES_MAX);
    await putDurably(files, join(directory, NAME), encodeGrowth(kept));
    return HOUR_MS;
  }
  const ticks = ticker(clock, async () => {
    try {
      return await note();
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      onTrouble(`how full the store is cannot be recorded: ${cause.message}`);
      return HOUR_MS;
    }
  });
  ticks.start();
  return ticks;
}

/** A straight line through the samples of the last days. Pure. */
export function forecastOf(
  samples: readonly GrowthSample[],
  space: { readonly freeBytes: number; readonly totalBytes: number },
  now: Date,
): Forecast {
  const from = now.getTime() - LOOKED_AT_MS;
  // A larger or different disk is measured from the beginning.
  const restart = samples.findLastIndex(({ totalBytes }) => totalBytes !== space.totalBytes) + 1;
  const points = samples
    .slice(restart)
    .map(({ time, usedBytes }) => ({ atMs: Date.parse(time), usedBytes, time }))
    .filter(({ atMs }) => atMs >= from && atMs <= now.getTime());
  const since = points[0]?.time;
  const none = { since, bytesPerDay: undefined, fullAt: undefined };
  const watchedMs = points.length > 1 ? points.at(-1)!.atMs - points[0]!.atMs : 0;
  if (watchedMs < SHORTEST_MS) return none;
  const perMs = slopeOf(points);
  const bytesPerDay = Math.round(perMs * DAY_MS);
  const fullMs = perMs > 0 ? now.getTime() + space.freeBytes / perMs : Number.POSITIVE_INFINITY;
  const isFar = fullMs - now.getTime() > FARTHEST_MS;
  return { since, bytesPerDay, fullAt: isFar ? undefined : new Date(fullMs).toISOString() };
}

/** Beyond this a straight line means nothing. */
const FARTHEST_MS = 10 * 365 * DAY_MS;

/** The slope by least squares. */
function slopeOf(points: readonly { readonly atMs: number; readonly usedBytes: number }[]): number {
  const { length } = points;
  const meanAt = points.reduce((sum, { atMs }) => sum + atMs, 0) / length;
  const meanUsed = points.reduce((sum, { usedBytes }) => sum + usedBytes, 0) / length;
  let [above, below] = [0, 0];
  for (const { atMs, usedBytes } of points) {
    above += (atMs - meanAt) * (usedBytes - meanUsed);
    below += (atMs - meanAt) ** 2;
  }
  return above / below;
}
