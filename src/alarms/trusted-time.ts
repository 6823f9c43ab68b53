import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import {
  ABSENCES_MAX,
  type Absence,
  trustedTimeFile,
  type TrustedTimeRecord,
} from '../formats/store/service/trusted-time.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import type { World } from '../sys/world.ts';

/*
 * The time by which locks of recovery points end. An attacker who sets the clock a year ahead must not open them, so
 * the wall clock does not count: trusted time passes as the host runs, by a clock that cannot be set. While the host is
 * off only the wall clock can say for how long, and it counts for at most 7 days in 30: beyond that trusted time stays
 * behind, until two people have confirmed the clock. Late is safe: a lock then ends later, never earlier.
 */
export interface TrustedTime {
  /** Since 1970. */
  readonly trustedMs: number;
  /** How long the host was off, by its clock, of which nothing counts. */
  readonly uncountedMs: number;
  /** The user who has confirmed the clock, while another is awaited. */
  readonly confirmedBy: number | undefined;
}

const DAY_MS = 24 * 60 * 60_000;
const ABSENT_MAX_MS = 7 * DAY_MS;
const ABSENT_WITHIN_MS = 30 * DAY_MS;
/** NTP makes the clock that cannot be set faster or slower by at most 500 millionths. */
const SLOWER_MAX = 500 / 1_000_000;
/** What a crash loses of it counts as time during which the host was off. */
const NOTE_EVERY_MS = 10 * 60_000;
/** The second person must confirm within this time, or the first must confirm again. */
const AGREE_WITHIN_MS = 60 * 60_000;
/** Less than that was not counted for other reasons: the clock of the hardware has whole seconds. */
const UNCOUNTED_MIN_MS = 60_000;
const NAME = 'trusted-time.json';
const LENGTH_MAX = 64 * 1024;

type ClockReading = Pick<TrustedTimeRecord, 'bootId' | 'wallMs' | 'sinceBootMs'>;

/** What is true now, of what was noted before. */
function advanced(before: TrustedTimeRecord, now: ClockReading): TrustedTimeRecord {
  if (before.bootId === now.bootId) {
    const passedMs = Math.max(0, now.sinceBootMs - before.sinceBootMs);
    return { ...before, ...now, trustedMs: before.trustedMs + steady(passedMs, before, now) };
  }
  // The time since the start of the host has passed for certain, whatever was before it.
  const startedMs = before.trustedMs + now.sinceBootMs;
  const claimedMs = Math.max(0, now.wallMs - now.sinceBootMs - before.wallMs);
  const recent = before.absences.filter(({ endMs }) => endMs > startedMs - ABSENT_WITHIN_MS);
  const usedMs = recent.reduce((sum, { countedMs }) => sum + countedMs, 0);
  const isRoom = recent.length < ABSENCES_MAX;
  const countedMs = isRoom ? Math.max(0, Math.min(claimedMs, ABSENT_MAX_MS - usedMs)) : 0;
  const trustedMs = startedMs + countedMs;
  const absence: Absence = { endMs: trustedMs, countedMs };
  return {
    ...now,
    trustedMs,
    absences: countedMs > 0 ? [...recent, absence] : recent,
    uncountedMs: before.uncountedMs + claimedMs - countedMs,
    approvals: [],
  };
}

/** A clock of the hardware that is a little fast is not believed against a wall clock that is not. */
function steady(passedMs: number, before: ClockReading, now: ClockReading): number {
  const byWallMs = now.wallMs - before.wallMs;
  return Math.floor(Math.min(passedMs, Math.max(byWallMs, passedMs * (1 - SLOWER_MAX))));
}

/**
 * Trusted time as it is now, noted in `directory`, the box's; undefined: its record is damaged, and no lock ends until
 * two people have confirmed the clock. Where there is no record yet, it begins with the clock.
 */
export async function trustedTime(
  world: World,
  directory: string,
): Promise<TrustedTime | undefined> {
  const now = await reading(world);
  const before = await load(world, directory);
  if (before === 'damaged') return undefined;
  const after = before ? advanced(before, now) : begun(now);
  const isNew = !before || before.bootId !== now.bootId;
  if (isNew || now.sinceBootMs - before.sinceBootMs >= NOTE_EVERY_MS) {
    await note(world, directory, after);
  }
  return shown(after);
}

/**
 * A person confirms that the clock is right; resolves with what is true then. Once a second one has, trusted time is
 * what the clock says.
 */
export async function confirmClock(
  world: World,
  directory: string,
  uid: number,
): Promise<TrustedTime> {
  const now = await reading(world);
  const before = await load(world, directory);
  const known = before === 'damaged' || !before ? undefined : advanced(before, now);
  // A damaged record has no approvals; it is replaced by one whose time is not beyond what anyone has confirmed.
  const from = known ?? { ...begun({ ...now, wallMs: 0 }), wallMs: now.wallMs };
  const other = from.approvals.find((it) => {
    return it.uid !== uid && now.sinceBootMs - it.sinceBootMs <= AGREE_WITHIN_MS;
  });
  const approval = { uid, sinceBootMs: now.sinceBootMs };
  const after = other ? begun(now) : { ...from, approvals: [approval] };
  await note(world, directory, after);
  return shown(after);
}

function begun(now: ClockReading): TrustedTimeRecord {
  return { ...now, trustedMs: now.wallMs, absences: [], uncountedMs: 0, approvals: [] };
}

function shown({ trustedMs, uncountedMs, approvals }: TrustedTimeRecord): TrustedTime {
  return {
    trustedMs,
    uncountedMs: uncountedMs < UNCOUNTED_MIN_MS ? 0 : uncountedMs,
    confirmedBy: approvals[0]?.uid,
  };
}

async function reading({ files, clock }: World): Promise<ClockReading> {
  return {
    bootId: await files.bootId(),
    wallMs: Math.max(0, clock.now().getTime()),
    sinceBootMs: Math.floor(clock.sinceBootMs()),
  };
}

async function load(
  { files }: World,
  directory: string,
): Promise<TrustedTimeRecord | 'damaged' | undefined> {
  const path = join(directory, NAME);
  if (!(await files.stat(path))) return undefined;
  try {
    return trustedTimeFile.decode(await files.readFile(path, LENGTH_MAX), 'checked');
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return 'damaged';
  }
}

async function note({ files }: World, directory: string, record: TrustedTimeRecord): Promise<void> {
  await putDurably(files, join(directory, NAME), trustedTimeFile.encode(record, 'checked'));
}
