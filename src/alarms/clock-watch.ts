import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import { clockFile, type ClockMark } from '../formats/store/service/alarm.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import type { World } from '../sys/world.ts';

/*
 * An attacker who sets a machine's clock a year ahead makes every recovery point old, so that retention deletes them.
 * So the wall clock is compared with one that cannot be set, and after a restart of the machine with the last known
 * time. Many small steps count as the large one to which they add up.
 */
export interface ClockWatch {
  /** Describes how the clock jumped since it was last trusted; undefined: it did not. */
  look(): Promise<string | undefined>;
  /** Trusts the clock as it is from now on. Call it once the jump is durably recorded. */
  trust(): Promise<void>;
}

/** Correcting a clock by an hour is not an attack; daylight saving does not change this clock. */
const STEP_MAX_MS = 60 * 60_000;
/** NTP corrects a clock that is a little late only after the start. */
const BEHIND_MAX_MS = 10 * 60_000;
/** A machine may be off for a week. */
const AHEAD_MAX_MS = 7 * 24 * 60 * 60_000;
/** The greatest age of the last known time after a crash. */
const NOTE_EVERY_MS = 10 * 60_000;
const NAME = 'clock.json';
const LENGTH_MAX = 4096;

type Reading = Pick<ClockMark, 'bootId' | 'wallMs' | 'sinceBootMs'>;

/** Describes a jump of the clock since the mark; undefined: there is none. */
function jumpOf(mark: ClockMark, now: Reading): string | undefined {
  const { wallMs, sinceBootMs, bootId } = now;
  if (bootId === mark.bootId) {
    const stepMs = wallMs - mark.wallMs - (sinceBootMs - mark.sinceBootMs);
    if (Math.abs(stepMs) <= STEP_MAX_MS) return undefined;
    return `the clock was set ${duration(stepMs)} ${stepMs > 0 ? 'ahead' : 'back'}`;
  }
  const aheadMs = wallMs - mark.lastWallMs;
  if (aheadMs < -BEHIND_MAX_MS) {
    return `the host started with a clock that is ${duration(aheadMs)} behind its last known time`;
  }
  if (aheadMs <= AHEAD_MAX_MS) return undefined;
  return `the host started ${duration(aheadMs)} after it was last seen, if its clock is right`;
}

/**
 * `directory`: the box's. A damaged mark counts as missing, and is reported: the clock is trusted as it is. Rejects
 * if the mark cannot be read or written.
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
