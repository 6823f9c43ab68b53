import { FormatError } from '../../formats/format-error.ts';
import { KiB } from '../../lib/sizes.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Obstacle, Root } from '../directory/roots.ts';
import { sessionReserve } from '../directory/space-reserve.ts';
import type { Store } from '../directory/store.ts';
import { freeReserve, takeReserve } from '../directory/sweep-reserve.ts';
import { switchOn } from '../directory/switch-on.ts';
import { StoreError } from '../packs/store-error.ts';
import { copyPacks } from './copy-packs.ts';
import { freesHoles } from './frees-holes.ts';
import { lostLists, relist } from './lost-lists.ts';
import { beginMarking, type Marking } from './mark.ts';
import { type PackFigures, type PackPlan, planPack } from './pack-plan.ts';
import { removeMoves, unneededMoves } from './old-moves.ts';
import { removeFrames } from './remove-frames.ts';
import { lockSlice, type SliceOptions } from './slice-lock.ts';

/** What is needed at one moment. */
export interface Needed {
  /** Roots of what was published since the last time, and all that readers hold. */
  readonly roots: readonly Root[];
  /** Domains of sets. Nothing of others is removed. */
  readonly domains: ReadonlySet<string>;
  /** Records that cannot be read. */
  readonly obstacles: readonly Obstacle[];
}

/** A source of what is needed: each mark has one of its own, and asks it several times. */
export type NeededSource = () => Promise<Needed>;

export interface SweepOptions extends SliceOptions {
  readonly needed: () => NeededSource;
  /** Roots of points that were forgotten, as far as they are still known. */
  readonly forgotten: () => Promise<readonly Root[]>;
  /** A pack of which fewer dead bytes stay occupied is not copied. */
  readonly copyBytesMin?: number;
  /** By domain: the greatest number of a pack when a set of it was removed. What lies below stays for no backup. */
  readonly removedAt: () => Promise<ReadonlyMap<string, number>>;
  /** Only counts what could be removed. */
  readonly isDryRun?: boolean;
  readonly onProgress?: (phase: SweepPhase, done: number, total: number) => void;
}

export type SweepPhase = 'plan' | 'sweep' | 'copy';

/** Bytes of one domain. */
export interface SweptBytes {
  /** Bytes of frames that are needed, and of those that are not. */
  readonly liveBytes: number;
  readonly deadBytes: number;
  /** The space that the removal gives back: what was given back; with `isDryRun` what would be. */
  readonly freedBytes: number;
  /** What of that is given back because packs are copied. */
  readonly copyFreedBytes: number;
  /** Bytes that an interrupted backup may have left: they stay for some days, so that its repetition finds them. */
  readonly sparedBytes: number;
  /** Dead bytes that stay occupied: parts of pages, packs with too little to remove, file systems that keep holes. */
  readonly leftBytes: number;
}

export interface SweepResult {
  /** Packs looked at. */
  readonly packs: number;
  /** Packs of which frames were removed, and that were removed as a whole. */
  readonly sweptPacks: number;
  readonly removedPacks: number;
  /** Packs whose needed frames were copied to others. */
  readonly copiedPacks: number;
  /** By domain. */
  readonly domains: ReadonlyMap<string, SweptBytes>;
  readonly obstacles: readonly Obstacle[];
  /** Packs that could not be read. */
  readonly damage: readonly { readonly where: string; readonly what: string }[];
  /** Whether the file system gives back the space of holes in files: if not, only whole packs are removed. */
  readonly freesHoles: boolean;
}

/** Far less than the second that a backup may have to wait: a disk does not take equally long for equal work. */
const SLICE_MS = 300;
const SLICE_PACKS_MAX = 256;
/** Longer than a waiting writer pauses before it looks at the lock again. */
const GAP_MS = 50;
/** The share of the time in which others have the disk. */
const GAP_SHARE = 0.25;
/** Packs of an interrupted backup stay so long. A wrong clock only keeps them longer. */
const SPARED_MS = 7 * 24 * 3600 * 1000;
/** A pack is copied if more of what it occupies than this is dead and stays so. */
const COPY_SHARE = 0.15;
/** A store has many small packs of nodes: what is dead of one that small is not worth its syncs. */
const COPY_BYTES_MIN = 64 * KiB;
/** Damaged packs that are named. */
const DAMAGE_MAX = 1000;
/** Packs of which footers are read in one go: some MiB. */
const PLANNED_AT_ONCE = 64;

interface Candidate {
  readonly pack: number;
  readonly isWhole: boolean;
}

/**
 * Removes from packs what no root needs. The lock is held for at most a second at a time, and each time the roots are
 * looked up again: what was published in the meantime is needed, too. A crash loses nothing; the next sweep goes on.
 */
export async function sweepPacks(store: Store, options: SweepOptions): Promise<SweepResult> {
  const { clock } = store;
  const { isDryRun = false, signal, onProgress, pause } = options;
  const marks = marker(store, options);
  const hasHoles = await freesHoles(store);
  const plans = await planAll(store, marks, { ...options, hasHoles });
  const { candidates, toCopy } = plans;
  const done = { sweptPacks: 0, removedPacks: 0, copiedPacks: isDryRun ? toCopy.length : 0 };
  if (isDryRun) {
    for (const { isWhole } of candidates) done[isWhole ? 'removedPacks' : 'sweptPacks']++;
    return { ...done, ...plans.result(), obstacles: marks.obstacles(), freesHoles: hasHoles };
  }
  let slice = 1;
  for (let at = 0; at < candidates.length; ) {
    signal?.throwIfAborted();
    await pause?.();
    let start = 0;
    let isFull = false;
    {
      await using _lock = await lockSlice(store, options);
      start = clock.monotonicMs();
      // A list from before the lock was held may lack what was published since then.
      const domains = await marks.renewed();
      if (domains) {
        const planned: PackPlan[] = [];
        const batch = candidates.slice(at, at + slice);
        for (const { pack } of batch) {
          const plan = await plans.again(pack, domains);
          if (plan && (plan.isWhole || hasHoles)) planned.push(plan);
        }
        isFull = !(await removed(store, planned));
        if (!isFull) {
          at += batch.length;
          for (const { isWhole } of planned) done[isWhole ? 'removedPacks' : 'sweptPacks']++;
          plans.count(planned);
        }
      }
    }
    const tookMs = clock.monotonicMs() - start;
    slice = sliceAfter(slice, tookMs);
    onProgress?.('sweep', at, candidates.length);
    if (!isFull) await clock.sleep(Math.max(GAP_MS, tookMs * GAP_SHARE), signal);
    // Without the lock: this may take longer than a slice.
    if (marks.isOutdated()) await marks.restart();
  }
  await copyPacks(store, {
    ...options,
    ...{ candidates: toCopy, again: plans.again, renewed: marks.renewed, hasHoles },
    hasRemoved: done.removedPacks > 0 && !hasHoles,
    async settle() {
      if (marks.isOutdated()) await marks.restart();
    },
    onDamage: plans.onDamage,
    onCopied(pack) {
      done.copiedPacks++;
      plans.countCopied(pack);
    },
    onProgress: (at, total) => onProgress?.('copy', at, total),
  });
  const unneeded = await unneededMoves(store, marks.marking);
  {
    await using _lock = await lockSlice(store, options);
    if ((await marks.renewed()) && marks.obstacles().length === 0) {
      await removeMoves(store, marks.marking, unneeded);
    }
    await takeReserve(store);
    const lost = await lostLists(store);
    const isWhole = lost.size > 0 && (await marks.renewed()) && marks.obstacles().length === 0;
    if (isWhole) await relist(store, lost, marks.marking);
  }
  return { ...done, ...plans.result(), obstacles: marks.obstacles(), freesHoles: hasHoles };
}

function sliceAfter(packs: number, tookMs: number): number {
  const fitting = Math.floor((packs * SLICE_MS) / Math.max(1, tookMs));
  return Math.max(1, Math.min(fitting, 2 * packs, SLICE_PACKS_MAX));
}

/** False: the disk was full, and has a little space now. Rejects NO_SPACE if there is no reserve. */
async function removed(store: Store, planned: readonly PackPlan[]): Promise<boolean> {
  if (planned.length === 0) return true;
  try {
    await switchOn(store, 'swept');
    await removeFrames(store, planned);
    return true;
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'NO_SPACE') throw cause;
    if (await freeReserve(store)) return false;
    const what = 'the disk of the store is full, and the sweep cannot record what it removes';
    throw new StoreError('NO_SPACE', `${what}: free some MiB on it`, { cause });
  }
}

/** The mark, and all that it depends on. */
function marker({ packs }: Store, { needed }: Pick<SweepOptions, 'needed'>) {
  let marking = beginMarking(packs);
  let source = needed();
  let unread: readonly Obstacle[] = [];

  /** The domains of which something may be removed; undefined: the mark has to begin again. */
  async function renewed(): Promise<ReadonlySet<string> | undefined> {
    const now = await source();
    await marking.add(now.roots);
    if (marking.isOutdated) return undefined;
    unread = now.obstacles;
    const blocked = new Set(obstacles().map(({ domain }) => domain));
    return new Set([...now.domains].filter((domain) => !blocked.has(domain)));
  }
  function obstacles(): readonly Obstacle[] {
    return [...unread, ...marking.obstacles];
  }
  async function restart(): Promise<ReadonlySet<string>> {
    for (;;) {
      marking = beginMarking(packs);
      source = needed();
      const domains = await renewed();
      if (domains) return domains;
    }
  }
  return {
    get marking() {
      return marking;
    },
    isOutdated: () => marking.isOutdated,
    obstacles,
    renewed,
    restart,
  };
}

type Marker = ReturnType<typeof marker>;

interface PlanOptions extends SweepOptions {
  readonly hasHoles: boolean;
}

/** Looks at all packs, without the store's lock. */
async function planAll(store: Store, marks: Marker, options: PlanOptions) {
  const { packs } = store;
  const { signal, onProgress, pause, hasHoles, isDryRun = false } = options;
  const { copyBytesMin = COPY_BYTES_MIN } = options;
  const totals = new Map<string, Writable<SweptBytes>>();
  const damage: { where: string; what: string }[] = [];
  const candidates: Candidate[] = [];
  const toCopy: PackFigures[] = [];
  const unpublished: PackFigures[] = [];

  const of = (domain: string): Writable<SweptBytes> => {
    const none = { ...NO_BYTES };
    const found = totals.get(domain) ?? none;
    totals.set(domain, found);
    return found;
  };
  async function again(pack: number, domains: ReadonlySet<string>): Promise<PackPlan | undefined> {
    try {
      return await planPack(store, marks.marking, pack, domains);
    } catch (cause) {
      if (!(cause instanceof FormatError) && !(cause instanceof StoreError)) throw cause;
      onDamage(pack, cause.message);
      return undefined;
    }
  }
  function onDamage(pack: number, what: string): void {
    const isKnown = damage.some(({ where }) => where === packs.path(pack));
    if (!isKnown && damage.length < DAMAGE_MAX) damage.push({ where: packs.path(pack), what });
  }
  /** The next backup of the same contents stores them again. */
  async function noteLost({ pack, lost }: PackPlan): Promise<void> {
    const what = `${lost.length} frames that are needed again were given back by an earlier sweep`;
    if (damage.length < DAMAGE_MAX) damage.push({ where: packs.path(pack), what });
    if (isDryRun) return;
    for (const { offset, digest } of lost) await packs.want({ pack, offset, digest });
  }
  function choose(plan: PackFigures): void {
    const { pack, domain, isWhole, freeBytes } = plan;
    const bytes = of(domain);
    const isChosen = plan.isWorth && (isWhole || hasHoles);
    const stranded = strandedBytes(plan, hasHoles);
    bytes.leftBytes += stranded;
    if (isChosen) {
      candidates.push({ pack, isWhole });
      if (isDryRun) bytes.freedBytes += freeBytes;
    }
    const occupied = plan.size - plan.givenBytes - (isChosen ? freeBytes : 0);
    if (isWhole || stranded < copyBytesMin || stranded <= COPY_SHARE * occupied) return;
    toCopy.push(plan);
    if (isDryRun) countCopied(pack);
  }
  function countCopied(pack: number): void {
    const plan = toCopy.find((it) => it.pack === pack)!;
    const bytes = of(plan.domain);
    const stranded = strandedBytes(plan, hasHoles);
    bytes.leftBytes -= stranded;
    bytes.freedBytes += stranded;
    bytes.copyFreedBytes += stranded;
  }
  const domains = await marks.restart();
  const numbers = domains.size > 0 ? await packs.list() : [];
  for (const [at, pack] of numbers.entries()) {
    signal?.throwIfAborted();
    onProgress?.('plan', at, numbers.length);
    if (at % PLANNED_AT_ONCE === 0) await pause?.();
    // One that was put back since the mark began is not known to it.
    const plan = marks.marking.live.knows(pack) ? await again(pack, domains) : undefined;
    if (!plan) continue;
    of(plan.domain).liveBytes += plan.liveBytes;
    of(plan.domain).deadBytes += plan.deadBytes;
    const isAbove = plan.isWhole && pack > marks.marking.highest(plan.domain);
    // Without the entries: a store may have many of these.
    const {
      footer: _footer,
      bits: _bits,
      unneeded: _unneeded,
      dead: _dead,
      needed: _needed,
      lost,
      ...figures
    } = plan;
    if (lost.length > 0) await noteLost(plan);
    if (isAbove) unpublished.push(figures);
    else choose(figures);
  }
  const isSpared = await sparing(store, options);
  for (const plan of unpublished) {
    if (await isSpared(plan)) of(plan.domain).sparedBytes += plan.deadBytes;
    else choose(plan);
  }
  // Whole packs first: on a full disk they give back most for the least that has to be written.
  candidates.sort((a, b) => Number(b.isWhole) - Number(a.isWhole) || a.pack - b.pack);
  return {
    candidates,
    toCopy,
    again,
    onDamage,
    countCopied,
    count(planned: readonly PackPlan[]): void {
      for (const { domain, freeBytes } of planned) of(domain).freedBytes += freeBytes;
    },
    result: () => ({ packs: numbers.length, domains: totals, damage }),
  };
}

const NO_BYTES: SweptBytes = {
  ...{ liveBytes: 0, deadBytes: 0, freedBytes: 0, copyFreedBytes: 0, sparedBytes: 0, leftBytes: 0 },
};

/** Dead bytes of a pack that stay occupied once its holes are punched. */
function strandedBytes(
  { isWhole, isWorth, deadBytes, leftBytes, givenBytes }: PackFigures,
  hasHoles: boolean,
): number {
  const isChosen = isWorth && (isWhole || hasHoles);
  return isChosen ? leftBytes : Math.max(0, deadBytes - givenBytes);
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/**
 * Which packs without any needed frame stay for now. Above the last pack of which something is needed they may come
 * from an interrupted backup, whose repetition would find them, unless forgotten points, or a removed set, were what
 * needed them.
 */
async function sparing(
  store: Store,
  { forgotten, removedAt }: Pick<SweepOptions, 'forgotten' | 'removedAt'>,
) {
  const { files, packs, clock, directory } = store;
  const space = await files.space(directory);
  const isShort = space.freeBytes < 2 * sessionReserve(space);
  const removed = await removedAt();
  let published: Marking | undefined;
  return async ({ pack, domain }: PackFigures): Promise<boolean> => {
    if (isShort) return false;
    if (pack <= (removed.get(domain) ?? 0)) return false;
    if (!published) {
      published = beginMarking(packs);
      await published.add(await forgotten());
    }
    if (pack <= published.highest(domain)) return false;
    const modifiedMs = (await files.stat(packs.path(pack)))?.modifiedMs ?? Number.NaN;
    return !(clock.now().getTime() - modifiedMs > SPARED_MS);
  };
}
