import { join } from 'node:path/posix';
import { inTurn } from '../box/own-directory.ts';
import { FormatError } from '../formats/format-error.ts';
import {
  ABSENCES_MAX,
  type Absence,
  trustedTimeFile,
  type TrustedTimeRecord,
} from '../formats/store/service/trusted-time.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import type { World } from '../sys/world.ts';

/*
 * The time by which locks of recovery points end. An attacker who sets the clock a year ahead must not open them, so
 * the wall clock does not count: trusted time passes as the host runs, by a clock that cannot be set. While the host is
 * off only the wall clock can say for how long, and it counts for at most 7 days in 30: beyond that trusted time stays
 * behind, until two people have confirmed the clock. Late is safe: a lock then ends later, never earlier.
 */
export interface TrustedTime {
  /** Since 1970; undefined: the record was damaged, and no lock ends until two people have confirmed the clock. */
  readonly trustedMs: number | undefined;
  /** How long the host was off, by its clock, of which nothing counts. */
  readonly uncountedMs: number;
  /** The user who has confirmed the clock, while another is awaited. */
  readonly confirmedBy: number | undefined;
}

export interface Confirmation extends TrustedTime {
  /** The user whose confirmation does not count, because the clock was set after it. */
  readonly replaced: number | undefined;
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
/** From that on the clock was set between two confirmations; within an hour it drifts by seconds. */
const SET_MIN_MS = 60_000;
/** Less than that was not counted for other reasons: the clock of the hardware has whole seconds. */
const UNCOUNTED_MIN_MS = 60_000;
/** The most by which a new lock begins ahead of trusted time. */
const AHEAD_MAX_MS = 366 * DAY_MS;
const NAME = 'trusted-time.json';
const HOLDER = 'trusted time';
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
    isUnknown: before.isUnknown,
  };
}

/** A clock of the hardware that is a little fast is not believed against a wall clock that is not. */
function steady(passedMs: number, before: ClockReading, now: ClockReading): number {
  const byWallMs = now.wallMs - before.wallMs;
  return Math.floor(Math.min(passedMs, Math.max(byWallMs, passedMs * (1 - SLOWER_MAX))));
}

/**
 * Trusted time as it is now, noted in `directory`, the box's. Where there is no record yet, it begins with the clock.
 * Rejects SystemError where that cannot be read, or begun.
 */
export async function trustedTime(world: World, directory: string): Promise<TrustedTime> {
  const seen = await look(world, directory);
  if (!isDue(seen)) return shown(seen.after);
  try {
    return await inTurn(world, { directory, holder: HOLDER }, async () => {
      // Another process may have noted it in the meantime.
      const again = await look(world, directory);
      if (isDue(again)) await note(world, directory, again.after);
      return shown(again.after);
    });
  } catch (cause) {
    // A disk that is full must not keep locks from ending; that a record begins, it must not lose.
    if (!(cause instanceof SystemError) || !seen.before) throw cause;
    return shown(seen.after);
  }
}

/**
 * A person confirms that the clock is right. Once a second one has confirmed the same, trusted time is what the clock
 * says. An attacker could set the clock in between: then only the second confirmation stands, as a first one.
 */
export async function confirmClock(
  world: World,
  directory: string,
  uid: number,
): Promise<Confirmation> {
  return inTurn(world, { directory, holder: HOLDER }, async () => {
    const { now, after: from } = await look(world, directory);
    const other = from.approvals.find((it) => {
      return it.uid !== uid && now.sinceBootMs - it.sinceBootMs <= AGREE_WITHIN_MS;
    });
    const isSame = other && Math.abs(bootedMs(now) - bootedMs(other)) < SET_MIN_MS;
    const { wallMs, sinceBootMs } = now;
    const approvals = [{ uid, wallMs, sinceBootMs }];
    const after = isSame ? begun(now) : { ...from, approvals };
    await note(world, directory, after);
    return { ...shown(after), replaced: isSame ? undefined : other?.uid };
  });
}

/**
 * When a lock begins that is made now, since 1970: no earlier than what trusted time can be once two people have
 * confirmed the clock, or the lock would end early by what trusted time is behind. A clock of the hardware that is
 * years ahead counts for a year of that: nothing removes a lock that has begun too late, and only a host that was off
 * for longer has locks that end early, once the clock is confirmed.
 */
export function lockBegin(known: TrustedTime | undefined, wallMs: number): number {
  if (known?.trustedMs === undefined) return wallMs;
  const { trustedMs, uncountedMs, confirmedBy } = known;
  const beginMs = Math.max(trustedMs + uncountedMs, confirmedBy === undefined ? 0 : wallMs);
  return Math.min(beginMs, trustedMs + AHEAD_MAX_MS);
}

function begun(now: ClockReading): TrustedTimeRecord {
  const none = { absences: [], uncountedMs: 0, approvals: [] };
  return { ...now, ...none, trustedMs: now.wallMs, isUnknown: false };
}

/** When the host was started, by its clock: only a change of the clock changes it. */
function bootedMs({ wallMs, sinceBootMs }: Pick<ClockReading, 'wallMs' | 'sinceBootMs'>): number {
  return wallMs - sinceBootMs;
}

function shown({ trustedMs, uncountedMs, approvals, isUnknown }: TrustedTimeRecord): TrustedTime {
  return {
    trustedMs: isUnknown ? undefined : trustedMs,
    uncountedMs: uncountedMs < UNCOUNTED_MIN_MS ? 0 : uncountedMs,
    confirmedBy: approvals[0]?.uid,
  };
}

interface Seen {
  readonly now: ClockReading;
  readonly before: TrustedTimeRecord | undefined;
  readonly after: TrustedTimeRecord;
}

async function look(world: World, directory: string): Promise<Seen> {
  const now = await reading(world);
  const before = await load(world, directory, now);
  return { now, before, after: before ? advanced(before, now) : begun(now) };
}

function isDue({ now, before }: Seen): boolean {
  if (before?.bootId !== now.bootId) return true;
  return now.sinceBootMs - before.sinceBootMs >= NOTE_EVERY_MS;
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
  now: ClockReading,
): Promise<TrustedTimeRecord | undefined> {
  const path = join(directory, NAME);
  if (!(await files.stat(path))) return undefined;
  try {
    return trustedTimeFile.decode(await files.readFile(path, LENGTH_MAX), 'checked');
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return { ...begun(now), isUnknown: true };
  }
}

async function note({ files }: World, directory: string, record: TrustedTimeRecord): Promise<void> {
  await putDurably(files, join(directory, NAME), trustedTimeFile.encode(record, 'checked'));
}
