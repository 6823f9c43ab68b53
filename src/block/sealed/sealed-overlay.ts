import {
  OVERLAY_ID_LENGTH,
  PAGE_LENGTH,
  PLACES_MAX,
  type Suite,
} from '../../formats/store/sessions/overlay-log.ts';
import { SEGMENTS_MAX } from '../../formats/store/sessions/overlay-bodies.ts';
import { encodeHeadFile } from '../../formats/store/sessions/overlay-head.ts';
import { rangeTurns } from '../../lib/range-lock.ts';
import { KiB, MiB } from '../../lib/sizes.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import type { Random } from '../../sys/base/random.ts';
import type { BlockDevice, Extent, WritableBlockDevice } from '../block-device.ts';
import { BlockError } from '../block-error.ts';
import { blockError, failingAs } from '../file.ts';
import { readLayer, type WriteOps, writeLayer } from '../layer.ts';
import type { SpaceGuard } from '../space-guard.ts';
import { headPath, type LogFilesOptions, openLogFiles, scratchFile } from './segments/log-files.ts';
import { type SealedLog, sealedLog } from './sealed-log.ts';
import type { LogLimits } from './log/log-head.ts';
import { type LogReads, logReads } from './log/log-reads.ts';
import { ABSENT, type LocationRun, pageLocations, ZERO } from './map/page-locations.ts';
import { recoverLog } from './recover.ts';
import { crowded, segments as noSegments } from './segments/segments.ts';

/**
 * What a session writes, over a base that stays unchanged: a log of sealed slots
 * (formats/store/sessions/overlay-log.md). Each written page is sealed into the next place of the log, and never
 * overwritten in place. So a page is as of the last flush or newer after a power cut, as of the last answer after
 * this process ended, and fails its seal rather than being wrong; torn writes are distinguished from damage.
 *
 * Files here: log-files (names, keys), segments, birth, batches and log-head (appending), log-writes, unmapped
 * (between the log and the map), log-reads and read-windows (all of it in order), log-flush, foreseen-flush and
 * proof, upkeep and clean (after flushes), survey, log-state and recover (opening); map/ holds the location of each
 * page in the log.
 */
export interface SealedOverlay extends WritableBlockDevice {
  /** Ascending; everything written or zeroed since the overlay began. */
  written(): AsyncGenerator<Extent>;
  /** For a caller that reads all of it once, in ascending order: reads ahead. Close it before the overlay. */
  ascending(): BlockDevice;
  /** Bytes of pages held here, including dead ones. */
  readonly taken: number;
  /** Why writing is disabled, if it is. */
  readonly readOnly: string | undefined;
  readonly stats: SealedOverlayStats;
  /** Resolves once the upkeep after flushes is done. */
  idle(): Promise<void>;
}

export interface SealedOverlayStats {
  /** Numbers of pages that guests wrote since it was opened, and that the cleaner copied. */
  readonly appended: number;
  readonly copied: number;
  /** Numbers of live pages, and of places of dead slots. */
  readonly live: number;
  readonly dead: number;
  readonly segments: number;
  /** Memory of the map in bytes. */
  readonly memory: number;
  /** Why the upkeep after flushes failed the last time. */
  readonly trouble: unknown;
}

export interface SealedOverlayOptions extends LogFilesOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly space: SpaceGuard;
  /** The session's journal says that segments have existed: their absence is CORRUPT. */
  readonly begun: boolean;
  /** Awaited before the first write in a segment is answered: records that in the journal. */
  readonly begin?: () => Promise<void>;
  /** Called for a page that fails its seal, or a damaged place of the log. */
  readonly onDamage?: (where: string, what: string) => void;
  readonly limits?: Partial<LogLimits>;
}

const LIMITS: LogLimits = {
  unprovenMax: 256 * MiB,
  waitAt: 320 * MiB,
  writeNowMax: 1100 * KiB,
  deadMax: 256 * MiB,
  stepMax: PLACES_MAX,
  segmentMs: 60 * 60 * 1000,
  segmentsMax: SEGMENTS_MAX - 1,
  markAfterMs: 1000,
  mapBudget: 64 * MiB,
};

/** Creates the overlay's head; no keys are needed. */
export async function prepareSealedOverlay({
  files,
  random,
  directory,
  disk,
  size,
  suite,
  places = PLACES_MAX,
}: Pick<LogFilesOptions, 'files' | 'directory' | 'disk'> & {
  readonly random: Random;
  readonly size: number;
  readonly suite: Suite;
  readonly places?: number;
}): Promise<void> {
  const overlayId = Uint8Array.from(random.bytes(OVERLAY_ID_LENGTH));
  const head = encodeHeadFile({ suite, size, overlayId, places });
  await putDurably(files, headPath(directory, disk), head);
}

/** Continues with what exists. The base is lent. */
export async function openSealedOverlay(
  options: SealedOverlayOptions,
  base: BlockDevice,
): Promise<SealedOverlay> {
  await using stack = new AsyncDisposableStack();
  const parts = await openParts(options, base, stack);
  const { reads, found, size } = parts;
  const readOnly = found.damage.find((it) => it.isUnbounded)?.what ?? fullOf(parts);
  const own =
    readOnly === undefined ? await failingAs('overlay', () => sealedLog(parts)) : undefined;
  const owned = stack.move();
  const device = writeLayer(
    `overlay of ${base.name}`,
    { size, blockSize: PAGE_LENGTH },
    {
      tryRead: reads.tryRead,
      read: (into, offset) => failingAs('overlay', () => reads.read(into, offset)),
      extents: (offset, length) =>
        failingAs('overlay', () => extents(parts, base, { offset, length })),
      ...(own ? changing(own) : refusing(readOnly!)),
      async close() {
        await using _owned = owned;
        await failingAs('overlay', async () => own?.close());
      },
    },
  );
  return Object.defineProperties(
    device as SealedOverlay,
    Object.getOwnPropertyDescriptors(
      Object.assign(facts(parts, own, readOnly), { ascending: () => ascending(device, reads) }),
    ),
  );
}

function ascending({ name, geometry, extents }: BlockDevice, reads: LogReads): BlockDevice {
  const own = reads.ascending();
  return readLayer(`${name}, in order`, geometry, {
    read: (into, offset) => failingAs('overlay', () => own.read(into, offset)),
    extents: async (offset, length) => [...(await extents(offset, length))],
    async close() {
      await own[Symbol.asyncDispose]();
    },
  });
}

type Changing = Pick<WriteOps, 'tryWrite' | 'write' | 'zero' | 'flush'>;
type Parts = Awaited<ReturnType<typeof openParts>>;

async function openParts(
  options: SealedOverlayOptions,
  base: BlockDevice,
  stack: AsyncDisposableStack,
) {
  const { onDamage = () => {}, disk, random, begun } = options;
  const { size } = base.geometry;
  const log = await failingAs('overlay', () => openLogFiles(options, size));
  const segments = stack.use(noSegments(log));
  const replaced = (index: number, count: number) => segments.lose(index, count);
  const limits = { ...LIMITS, ...options.limits };
  const map = stack.use(
    pageLocations({
      pages: log.pages,
      replaced,
      budget: limits.mapBudget,
      scratch: () => scratchFile(log, `${disk}.map-tmp`),
    }),
  );
  const found = await failingAs('overlay', () => recoverLog(log, { segments, map, random, begun }));
  for (const { what } of found.damage) onDamage(disk, what);
  return {
    ...options,
    log,
    segments,
    map,
    size,
    found,
    nextNumber: found.nextNumber,
    voids: found.voids,
    reads: logReads({ ...options, log, segments, map, base, onDamage }),
    turns: rangeTurns(),
    limits,
    onDamage,
    begun: once(begun ? undefined : options.begin),
  };
}

function changing({ tryWrite, write, zero, flush }: SealedLog): Changing {
  return {
    tryWrite: (from, offset, done) =>
      tryWrite(from, offset, (failure) => done(failure && blockError(failure, 'overlay'))),
    write: (from, offset, durability) =>
      failingAs('overlay', () => {
        const written = write(from, offset);
        return durability === 'durable' ? written.then(flush) : written;
      }),
    zero: (offset, length, durability) =>
      failingAs('overlay', async () => {
        await zero(offset, length);
        if (durability === 'durable') await flush();
      }),
    flush,
  };
}

function refusing(why: string): Changing {
  async function refuse(): Promise<never> {
    throw new BlockError('READ_ONLY', `writing is disabled: ${why}`);
  }
  return { write: refuse, zero: refuse, flush: async () => {} };
}

/** Why not even the segment that an opening needs can be begun; undefined: it can. */
function fullOf({ log, segments, limits }: Parts): string | undefined {
  const { count } = segments;
  return count < limits.segmentsMax ? undefined : crowded(log, count).message;
}

function facts({ map, segments, size }: Parts, own: SealedLog | undefined, readOnly?: string) {
  return {
    readOnly,
    async *written(): AsyncGenerator<Extent> {
      for await (const run of map.written()) yield extentOf(run, size);
    },
    get taken(): number {
      return map.dataPages * PAGE_LENGTH;
    },
    get stats(): SealedOverlayStats {
      const used = [...segments.all()].reduce((sum, it) => sum + it.used, 0);
      const copied = own?.clean.copied ?? 0;
      return {
        appended: own ? own.head.sealed - copied : 0,
        copied,
        live: map.dataPages,
        dead: used - map.dataPages,
        segments: segments.count,
        memory: map.memory,
        trouble: own?.tasks.trouble,
      };
    },
    idle: async () => own?.tasks.idle(),
  };
}

async function extents(
  { map, size }: Pick<Parts, 'map' | 'size'>,
  base: BlockDevice,
  { offset, length }: { readonly offset: number; readonly length: number },
): Promise<Extent[]> {
  const first = Math.floor(offset / PAGE_LENGTH);
  const count = Math.ceil((offset + length) / PAGE_LENGTH) - first;
  while (!map.ready(first, count)) await map.load(first, count);
  const found: Extent[] = [];
  for (const run of map.runs(first, count)) {
    const whole = extentOf(run, size);
    const start = Math.max(offset, whole.offset);
    const end = Math.min(offset + length, whole.offset + whole.length);
    if (run.location === ABSENT) found.push(...(await base.extents(start, end - start)));
    else found.push({ offset: start, length: end - start, kind: whole.kind });
  }
  return found;
}

function extentOf({ first, count, location }: LocationRun, size: number): Extent {
  const offset = first * PAGE_LENGTH;
  const length = Math.min(count * PAGE_LENGTH, size - offset);
  return { offset, length, kind: location === ZERO ? 'zero' : 'data' };
}

/** Undefined once the work is done; a failed try is repeated. */
function once(work: (() => Promise<void>) | undefined): () => Promise<void> | undefined {
  let isDone = work === undefined;
  let running: Promise<void> | undefined;
  return () => {
    if (isDone) return undefined;
    running ??= work!()
      .then(() => void (isDone = true))
      .finally(() => (running = undefined));
    return running;
  };
}
