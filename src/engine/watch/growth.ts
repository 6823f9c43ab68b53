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

/* How the disk of the store fills, noted now and then, and when it will be full if that goes on. */

const NAME = 'growth.json';
const LENGTH_MAX = 1024 * 1024;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** What a week repeats, such as a full backup on Sunday, is in it; what was long ago is not. */
const LOOKED_AT_MS = 7 * DAY_MS;
/** A forecast of less would be a guess: nights differ from days. */
const SHORTEST_MS = DAY_MS;

export interface Forecast {
  /** Since when the disk has been watched as it is now; undefined: not yet. */
  readonly since: string | undefined;
  /** Below zero where it empties; undefined: it was not watched for long enough to say. */
  readonly bytesPerDay: number | undefined;
  /** Undefined: it does not fill, or nobody can say. */
  readonly fullAt: string | undefined;
}

/** None where there are none, or none that can be read. Rejects IO. */
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

/** Notes how full the disk is, once in an hour, until it is disposed. */
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
    // A clock that was set back does not stop the notes.
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
      onTrouble(`how full the store is cannot be noted: ${cause.message}`);
      return HOUR_MS;
    }
  });
  ticks.start();
  return ticks;
}

/** A straight line through what was noted in the last days. Pure. */
export function forecastOf(
  samples: readonly GrowthSample[],
  space: { readonly freeBytes: number; readonly totalBytes: number },
  now: Date,
): Forecast {
  const from = now.getTime() - LOOKED_AT_MS;
  // A disk that was made larger, or another one, is watched anew.
  const anew = samples.findLastIndex(({ totalBytes }) => totalBytes !== space.totalBytes) + 1;
  const points = samples
    .slice(anew)
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

/** Beyond that a straight line means nothing. */
const FARTHEST_MS = 10 * 365 * DAY_MS;

/** Of least squares. */
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
