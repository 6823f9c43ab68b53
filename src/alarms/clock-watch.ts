import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import { clockFile, type ClockMark } from '../formats/store/service/alarm.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import type { World } from '../sys/world.ts';

/*
 * Whoever sets a machine's clock a year ahead makes every recovery point old, and the rules of retention delete them.
 * So the clock on the wall is compared with one that nobody can set, and where the machine was started again, with the
 * last time that was known. Many small steps count as the large one that they add up to.
 */
export interface ClockWatch {
  /** What has happened to the clock since it was last trusted, in words. */
  look(): Promise<string | undefined>;
  /** From now on: the clock as it is. Call it once the jump is noted where it is not lost. */
  trust(): Promise<void>;
}

/** A clock that is set right by an hour is no attack; daylight saving does not touch it. */
const STEP_MAX_MS = 60 * 60_000;
/** A machine that starts with a clock that runs late a little is put right by NTP only afterwards. */
const BEHIND_MAX_MS = 10 * 60_000;
/** A machine may be off for a week. */
const AHEAD_MAX_MS = 7 * 24 * 60 * 60_000;
/** How old the last known time may be after a crash. */
const NOTE_EVERY_MS = 10 * 60_000;
const NAME = 'clock.json';
const LENGTH_MAX = 4096;

type Reading = Pick<ClockMark, 'bootId' | 'wallMs' | 'sinceBootMs'>;

/** What is wrong with the clock, compared with how it was; undefined: nothing. */
function jumpOf(mark: ClockMark, now: Reading): string | undefined {
  const { wallMs, sinceBootMs, bootId } = now;
  if (bootId === mark.bootId) {
    const stepMs = wallMs - mark.wallMs - (sinceBootMs - mark.sinceBootMs);
    if (Math.abs(stepMs) <= STEP_MAX_MS) return undefined;
    return `the clock was set ${duration(stepMs)} ${stepMs > 0 ? 'ahead' : 'back'}`;
  }
  const aheadMs = wallMs - mark.lastWallMs;
  if (aheadMs < -BEHIND_MAX_MS) {
    return `the machine started with a clock that is ${duration(aheadMs)} behind what it was`;
  }
  if (aheadMs <= AHEAD_MAX_MS) return undefined;
  return `the machine started ${duration(aheadMs)} after it was last seen, if its clock is right`;
}

/**
 * `directory`: the box's. A mark that is damaged is none, and reported: the clock is trusted as it is. Rejects where it
 * cannot be read or written.
 */
export async function openClockWatch(
  world: World,
  directory: string,
  onTrouble: (message: string) => void,
): Promise<ClockWatch> {
  const { files, clock } = world;
  const path = join(directory, NAME);
  const bootId = await files.bootId();
  const reading = (): Reading => ({
    bootId,
    wallMs: clock.now().getTime(),
    sinceBootMs: clock.sinceBootMs(),
  });
  let mark = await load();
  let notedMs = clock.sinceBootMs();

  async function load(): Promise<ClockMark | undefined> {
    if (!(await files.stat(path))) return undefined;
    try {
      return clockFile.decode(await files.readFile(path, LENGTH_MAX));
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      onTrouble(`the clock is trusted as it is now: ${path}: ${cause.message}`);
      return undefined;
    }
  }
  async function note(next: ClockMark): Promise<void> {
    await putDurably(files, path, clockFile.encode(next, 'checked'));
    mark = next;
    notedMs = clock.sinceBootMs();
  }
  async function trust(): Promise<void> {
    const now = reading();
    await note({ ...now, lastWallMs: now.wallMs });
  }
  return {
    trust,
    async look() {
      const now = reading();
      if (!mark) {
        await trust();
        return undefined;
      }
      const jump = jumpOf(mark, now);
      if (jump !== undefined) return jump;
      if (mark.bootId !== bootId) await trust();
      else if (now.sinceBootMs - notedMs >= NOTE_EVERY_MS) {
        await note({ ...mark, lastWallMs: now.wallMs });
      }
      return undefined;
    },
  };
}

function duration(ms: number): string {
  const hours = Math.abs(ms) / 3_600_000;
  if (hours < 2) return `${Math.round(hours * 60)} minutes`;
  return hours < 48 ? `${Math.round(hours)} hours` : `${Math.round(hours / 24)} days`;
}
