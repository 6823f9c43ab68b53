import { join } from 'node:path/posix';
import { digestKey } from '../../formats/store/base/digest.ts';
import { FormatError } from '../../formats/format-error.ts';
import { checkFrame, FRAME_LENGTH_MAX } from '../../formats/store/packs/frame.ts';
import { PACK_LENGTH } from '../../formats/store/packs/pack.ts';
import type { Wanted } from '../../formats/store/packs/wanted.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { sessionReserve } from '../directory/space-reserve.ts';
import { SWEEP_HOLDER } from '../directory/store-lock.ts';
import type { Store } from '../directory/store.ts';
import { lastPack } from '../index/missing-packs.ts';
import type { PackDraft } from '../packs/pack-store.ts';
import { StoreError } from '../packs/store-error.ts';
import type { PackFigures, PackPlan } from './pack-plan.ts';
import { type CopiedPack, replacePacks } from './replace-packs.ts';
import { lockSlice, type SliceOptions } from './slice-lock.ts';

/*
 * Copies what is needed of packs whose dead frames stay occupied: parts of pages beside holes, or all of them on a file
 * system that keeps holes. The copy is made and read back without the store's lock, in a file that no one else sees.
 * Under the lock only names change, after a fresh look at what is needed: a pack stays as it is if one of its frames is
 * needed and was not copied.
 */

export interface CopyOptions extends SliceOptions {
  /** What may be copied, as it was planned. */
  readonly candidates: readonly PackFigures[];
  /** The domains of which something may be removed, after a new look; undefined: the mark has to begin again. */
  readonly renewed: () => Promise<ReadonlySet<string> | undefined>;
  /** Begins the mark again, if it has to. Without the lock. */
  readonly settle: () => Promise<void>;
  /** The plan of a pack as it is needed now; undefined: it cannot be swept. */
  readonly again: (pack: number, domains: ReadonlySet<string>) => Promise<PackPlan | undefined>;
  readonly hasHoles: boolean;
  /** Whether packs were just removed: their space may come back a little later. */
  readonly hasRemoved: boolean;
  readonly onDamage: (pack: number, what: string) => void;
  readonly onCopied: (pack: number) => void;
  readonly onProgress: (done: number, total: number) => void;
}

/** Packs replaced in one slice: each takes some syncs. */
const SOURCES_MAX = 8;
/** The share of the time in which others have the disk, and the shortest pause, as for other slices. */
const GAP_SHARE = 0.25;
const GAP_MS = 50;
/** The share of the sessions' reserve that a copy leaves free: it takes the rest for moments only. */
const RESERVE_SHARE = 0.5;

/** Btrfs gives the space of removed files back every 30 seconds only (its option `commit`). */
const WAIT_MS = 2000;
const WAITS_MAX = 20;

export async function copyPacks(store: Store, options: CopyOptions): Promise<void> {
  const { clock } = store;
  const { candidates, signal, onProgress, pause, settle } = options;
  if (candidates.length === 0) return;
  let mayWait = options.hasRemoved;
  /** Undefined: the disk is too full for it. */
  async function withSpace<T>(work: () => Promise<T | 'full'>): Promise<T | undefined> {
    for (let waits = 0; ; waits++) {
      const done = await unlessFull(work);
      if (done !== 'full') return done;
      if (!mayWait || waits === WAITS_MAX) break;
      await clock.sleep(WAIT_MS, signal);
    }
    mayWait = false;
    return undefined;
  }
  await using alone = await withSpace(() => onlyCopy(store));
  if (!alone) return;
  await store.packs.removeDrafts();
  let done = 0;
  for (const batch of batchesOf(candidates)) {
    signal?.throwIfAborted();
    await pause?.();
    const start = clock.monotonicMs();
    const copied = await withSpace(() => copyBatch(store, batch, options));
    if (copied && !options.hasHoles) mayWait = true;
    onProgress((done += batch.length), candidates.length);
    await clock.sleep(Math.max(GAP_MS, (clock.monotonicMs() - start) * GAP_SHARE), signal);
    await settle();
  }
}

async function unlessFull<T>(work: () => Promise<T>): Promise<T | 'full'> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'NO_SPACE') throw cause;
    return 'full';
  }
}

/** Undefined: another sweep copies now. */
async function onlyCopy({ files, directory }: Store): Promise<AsyncDisposable | undefined> {
  try {
    return await files.lock(join(directory, 'sweep-lock'), SWEEP_HOLDER);
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'BUSY') throw cause;
    return undefined;
  }
}

/** Packs of one domain and kind, in order, of which the needed frames fit into one pack. */
function* batchesOf(candidates: readonly PackFigures[]): Generator<PackFigures[]> {
  const groups = Map.groupBy(candidates, ({ domain, kind }) => `${kind} ${domain}`);
  for (const of of groups.values()) {
    let batch: PackFigures[] = [];
    let bytes = 0;
    for (const one of of.toSorted((a, b) => a.pack - b.pack)) {
      const isFull = batch.length === SOURCES_MAX || bytes + one.liveBytes > PACK_LENGTH;
      if (isFull && batch.length > 0) {
        yield batch;
        batch = [];
        bytes = 0;
      }
      batch.push(one);
      bytes += one.liveBytes;
    }
    if (batch.length > 0) yield batch;
  }
}

async function copyBatch(
  store: Store,
  batch: readonly PackFigures[],
  options: CopyOptions,
): Promise<boolean | 'full'> {
  const domains = await options.renewed();
  if (!domains) return false;
  const marks = await store.packs.wanted.list();
  const plans: PackPlan[] = [];
  for (const { pack } of batch) {
    const plan = await options.again(pack, domains);
    if (plan && !plan.isWhole && !isMarked(plan, marks)) plans.push(plan);
  }
  const [first] = plans;
  if (!first) return false;
  const bytes = plans.reduce((sum, { liveBytes }) => sum + liveBytes, 0);
  const space = await store.files.space(store.directory);
  if (space.freeBytes - bytes < RESERVE_SHARE * sessionReserve(space)) return 'full';
  const { kind, domain } = first.footer.header;
  await using draft = await store.packs.draft({
    ...{ kind, domain },
    number: 1 + (await lastPack(store)),
  });
  const copied = await copyFrames(store, { plans, draft }, options);
  if (copied.length === 0) return false;
  await draft.finish();
  await using _lock = await lockSlice(store, options);
  // A full disk in between leaves a pack that nothing needs: it is not tried again at once.
  return (await unlessFull(() => commit(store, { draft, copied }, options))) === true;
}

/** What a read found damaged has to be stored again first: its checksum may be right all the same. */
function isMarked({ pack, needed }: PackPlan, marks: readonly Wanted[]): boolean {
  return marks.some(
    (it) =>
      it.pack === pack && (!it.frame || needed.some(({ offset }) => offset === it.frame!.offset)),
  );
}

interface Copying {
  readonly plans: readonly PackPlan[];
  readonly draft: PackDraft;
}

/** The packs of which all needed frames are whole, and copied. */
async function copyFrames(
  { packs }: Store,
  { plans, draft }: Copying,
  { onDamage, signal }: CopyOptions,
): Promise<CopiedPack[]> {
  const memory = new Uint8Array(FRAME_LENGTH_MAX);
  const copied: CopiedPack[] = [];
  for (const { pack, needed } of plans) {
    const places = new Map<number, number>();
    try {
      for (const { digest, offset, length } of needed) {
        signal?.throwIfAborted();
        const frame = memory.subarray(0, length);
        await packs.read(frame, pack, offset);
        if (digestKey(checkFrame(frame).digest) !== digestKey(digest)) {
          throw new FormatError(
            'CORRUPT',
            `at ${offset}: frame has another digest than the footer says`,
          );
        }
        places.set(offset, await draft.append(frame, digest));
      }
      copied.push({ pack, places });
    } catch (cause) {
      if (!(cause instanceof FormatError) && !(cause instanceof StoreError)) throw cause;
      onDamage(pack, cause.message);
    }
  }
  return copied;
}

/** The caller holds the store's lock. */
async function commit(
  store: Store,
  { draft, copied }: { readonly draft: PackDraft; readonly copied: readonly CopiedPack[] },
  { renewed, again, onCopied }: CopyOptions,
): Promise<boolean> {
  // What was published since then may need frames that were not copied.
  const domains = await renewed();
  if (!domains) return false;
  const sources: { readonly plan: PackPlan; readonly places: CopiedPack['places'] }[] = [];
  for (const { pack, places } of copied) {
    const plan = await again(pack, domains);
    if (plan?.needed.every(({ offset }) => places.has(offset))) sources.push({ plan, places });
  }
  if (sources.length === 0) return false;
  if (!(await replacePacks(store, { draft, sources }))) return false;
  for (const { plan } of sources) onCopied(plan.pack);
  return true;
}
