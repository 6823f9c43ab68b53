import { PAGE_LENGTH } from '../../formats/store/sessions/overlay-log.ts';
import { MiB } from '../../lib/sizes.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { BlockError } from '../block-error.ts';
import { readLayer } from '../layer.ts';
import {
  type LogFiles,
  type LogFilesOptions,
  openLogFiles,
  readHead,
  scratchFile,
} from './segments/log-files.ts';
import { logReads } from './log/log-reads.ts';
import { damagedHead, type LogState, readLogState } from './segments/log-state.ts';
import { type PageLocations, pageLocations, ZERO } from './map/page-locations.ts';
import type { AscendingReads } from './log/read-windows.ts';
import { noSegmentIsThere, replay } from './recover.ts';
import { segments as noSegments } from './segments/segments.ts';
import { holdsSlots, readSalt } from './segments/survey.ts';

/** The overlay to check. */
export interface CheckedOverlay extends Omit<LogFilesOptions, 'key'> {
  readonly clock: Clock;
  /** Undefined: sealed contents are not checked. */
  readonly key?: LogFilesOptions['key'];
  /** The session's journal says that segments have existed. */
  readonly begun: boolean;
}

/** Memory for the map; the rest goes to a scratch file. */
const MAP_BUDGET = 64 * MiB;
const READ_LENGTH = MiB;
/** While the overlay is open, segments appear and disappear during a look. */
const LOOKS = 20;

/**
 * Reports the damage of an overlay of a disk of `size` bytes, in words, after reading everything that its current
 * pages need. Changes nothing, even while the overlay is open. Rejects NOT_FOUND where it was removed in the
 * meantime.
 */
export async function checkSealedOverlay(
  { key, ...place }: CheckedOverlay,
  size: number,
): Promise<readonly string[]> {
  try {
    if (!key) return await settled(() => damageWithoutKey(place, size));
    return await damageOf({ ...place, key }, size);
  } catch (cause) {
    if (!(cause instanceof BlockError) || cause.code !== 'CORRUPT') throw cause;
    return [cause.message];
  }
}

type Opened = CheckedOverlay & Pick<LogFilesOptions, 'key'>;

async function damageOf(place: Opened, size: number): Promise<readonly string[]> {
  const log = await openLogFiles(place, size);
  await using it = await settled(() => takenUp(log, place));
  const { damage, segments, map } = it;
  if (damage.length > 0) {
    // Damage that two looks find is real, not a write in progress.
    const again = recordsOf(await settled(() => stateOf(log, place)));
    damage.splice(0, damage.length, ...damage.filter((what) => again.includes(what)));
  }
  const base = readLayer('nothing', { size, blockSize: PAGE_LENGTH }, { async read() {} });
  const onDamage = (_where: string, what: string): void => void damage.push(what);
  const reads = logReads({ log, segments, map, base, clock: place.clock, onDamage });
  await using ascending = reads.ascending();
  await readLive(map, ascending, size);
  return [...new Set(damage)];
}

/** Reads the log as recovery does, but changes nothing. */
async function takenUp(log: LogFiles, place: Opened) {
  await using stack = new AsyncDisposableStack();
  const segments = stack.use(noSegments(log));
  const map = stack.use(
    pageLocations({
      pages: log.pages,
      replaced: (index, count) => segments.lose(index, count),
      budget: MAP_BUDGET,
      scratch: () => scratchFile(log, `${log.disk}.check-tmp`),
    }),
  );
  const state = await stateOf(log, place);
  await replay(log, state, { segments, map });
  const owned = stack.move();
  return {
    ...{ damage: recordsOf(state), segments, map },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function stateOf(log: LogFiles, { begun }: Opened): Promise<LogState> {
  const found = await log.list();
  if (begun && found.segments.length === 0) throw noSegmentIsThere(log);
  return await readLogState(log, found, { isRecovery: false });
}

/** Repeats a look during which a file disappeared. */
async function settled<T>(look: () => Promise<T>): Promise<T> {
  for (let looks = 1; ; looks++) {
    try {
      return await look();
    } catch (cause) {
      if (!isGone(cause) || looks === LOOKS) throw cause;
    }
  }
}

function isGone(cause: unknown): boolean {
  return cause instanceof SystemError && cause.code === 'NOT_FOUND';
}

/** Damage of pages is found when they are read, unless they were written again. */
function recordsOf({ damage }: LogState): string[] {
  return damage.flatMap((it) => (it.pages ? [] : [it.what]));
}

/** Reads all live pages, page by page where some of them cannot be read. */
async function readLive(map: PageLocations, { read }: AscendingReads, size: number): Promise<void> {
  const buffer = new Uint8Array(READ_LENGTH);
  const readPart = async (offset: number, length: number): Promise<boolean> => {
    try {
      await read(buffer.subarray(0, length), offset);
      return true;
    } catch (cause) {
      const isDamaged = cause instanceof BlockError && cause.code === 'CORRUPT';
      // A segment may have vanished: its pages were written again, or copied.
      if (!isDamaged && !isGone(cause)) throw cause;
      return false;
    }
  };
  for await (const { first, count, location } of map.written()) {
    if (location === ZERO) continue;
    const end = Math.min(size, (first + count) * PAGE_LENGTH);
    for (let at = first * PAGE_LENGTH; at < end; at += READ_LENGTH) {
      const stop = Math.min(end, at + READ_LENGTH);
      if (await readPart(at, stop - at)) continue;
      for (let page = at; page < stop; page += PAGE_LENGTH) {
        await readPart(page, Math.min(PAGE_LENGTH, stop - page));
      }
    }
  }
}

/** Finds damage in the head and the prefaces, which are not sealed. */
async function damageWithoutKey(
  { begun, ...place }: CheckedOverlay,
  size: number,
): Promise<readonly string[]> {
  const { suite } = (await readHead(place, { size })).head;
  // No slot is opened with this key.
  const log = await openLogFiles(
    { ...place, key: { suite, overlayKey: new Uint8Array(32) } },
    size,
  );
  const { segments } = await log.list();
  if (begun && segments.length === 0) throw noSegmentIsThere(log);
  const damage = log.isHeadDamaged ? [damagedHead(log).what] : [];
  for (const number of segments) {
    const path = log.segmentPath(number);
    await using file = await log.files.open(path, 'read');
    if ((await readSalt(log, number, file)) || !(await holdsSlots(log, number))) continue;
    damage.push(`${path} begins and ends with what is not a preface`);
  }
  return damage;
}
