import { CatalogError } from '../../catalog/catalog-error.ts';
import { isPublished } from '../../catalog/points.ts';
import { loadProfile, saveProfile } from '../../catalog/profiles.ts';
import { publishImported, requireNewest } from '../../catalog/publication.ts';
import { lockOfNewPoint } from '../../catalog/removal/set-lock.ts';
import { beginSet, type OpenSet, readSet, setNames } from '../../catalog/sets.ts';
import { FormatError } from '../../formats/format-error.ts';
import {
  decodePoint,
  type PointLink,
  type PointRecord,
} from '../../formats/store/catalog/point.ts';
import { decodeProfile } from '../../formats/store/catalog/profile.ts';
import { decodeSet, type SetRecord } from '../../formats/store/catalog/set-record.ts';
import {
  decodeExportContents,
  type ExportContents,
} from '../../formats/store/exports/export-contents.ts';
import { checkFrame, frameCodec, PLAIN_LENGTH_MAX } from '../../formats/store/packs/frame.ts';
import type { Store } from '../../store/directory/store.ts';
import { openScratchMap, type ScratchMap } from '../../store/index/scratch-map.ts';
import { openStoreWriter, rebuildIndex, type StoreWriter } from '../../store/write/store-writer.ts';
import { StoreError } from '../../store/packs/store-error.ts';
import { roomIn } from '../backup/store-room.ts';
import { type ByteSource, type ExportRecord, readExport } from './export-reader.ts';
import {
  type ImportedPoint,
  type ImportOutcome,
  importFindings,
  reasonsIn,
} from './import-findings.ts';
import { importedFrames } from './imported-frames.ts';
import { requireSameSet } from './same-set.ts';

/*
 * Recovery points of an export, published in a store one by one: each as soon as all that it needs is durable. An
 * import that was interrupted is repeated, and finds the blocks that it stored. What is damaged in the file is named;
 * points that need none of it are imported.
 */

/** A set of the file, and the one of this store that its points go to. */
export interface ImportSet {
  /** Its name in the file. */
  readonly name: string;
  /** With its keys. The store has it, or gets it with its first point. */
  readonly set: OpenSet;
}

export interface ImportOptions {
  /**
   * Finds the set of this store for one of the file; undefined: its points are not wanted. Called before anything of
   * that set is read. A rejection ends the import.
   */
  readonly setFor: (record: SetRecord) => Promise<ImportSet | undefined>;
  /** Called once, before anything is stored: of a whole file, all sets are known. A rejection ends the import. */
  readonly onSets: () => Promise<void>;
  /** The machine's newest point as something outside of the store remembers it. */
  readonly knownPoint: (set: OpenSet, machine: string) => Promise<PointLink | undefined>;
  readonly onPublished: (set: OpenSet, point: PointRecord) => Promise<void>;
  /** `total`: bytes of all frames, as the file says; 0: not known. */
  readonly onProgress: (position: number, total: number, storedBytes: number) => void;
  readonly onStoreDamage: (where: string, what: string) => void;
  readonly onNotice: (message: string) => void;
  /** Undefined: the writer that commands have. */
  readonly openStorage?: OpenStorage | undefined;
  /** Nothing is stored; frames and records are authenticated all the same. */
  readonly isDryRun: boolean;
  readonly signal: AbortSignal | undefined;
}

/** What a set's part of the file is stored with, under the store's lock. Disposing `owned` closes both. */
export interface ImportStorage {
  readonly writer: StoreWriter;
  readonly map: ScratchMap;
  readonly owned: AsyncDisposable;
}

export type OpenStorage = (
  store: Store,
  set: OpenSet,
  onDamage: ImportOptions['onStoreDamage'],
) => Promise<ImportStorage>;

/** Bytes of frames between two waits for the disk. */
const WAIT_EVERY = 4 * 1024 * 1024;

/** Rejects BUSY, BAD_IMAGE, UNSUPPORTED, NO_SPACE, and what `setFor` rejects. */
export async function importExport(
  store: Store,
  source: ByteSource,
  options: ImportOptions,
): Promise<ImportOutcome> {
  const found = importFindings();
  const sets = new Map<number, ImportSet | undefined>();
  let contents: ExportContents | undefined;
  let reasons: ReadonlyMap<string, string> = new Map();
  let part: Part | undefined;
  let storedBytes = 0;
  let total = 0;
  let isChecked = false;

  async function checkSets(): Promise<void> {
    if (!isChecked) await options.onSets();
    isChecked = true;
  }
  async function setOf(of: number, record: SetRecord): Promise<void> {
    if (sets.has(of)) return;
    const into = await options.setFor(record);
    const isTaken = [...sets.values()].some((it) => it?.set.name === into?.set.name);
    if (into && isTaken) throw twice(into);
    sets.set(of, into);
  }
  async function leave(): Promise<void> {
    if (!part) return;
    storedBytes += part.storedBytes();
    await part[Symbol.asyncDispose]();
    part = undefined;
  }
  /** The part that a record belongs to; undefined: its set is not wanted, or not known. */
  async function partOf({ set: of, offset }: ExportRecord): Promise<Part | undefined> {
    if (part?.of === of) return part;
    if (part && of < part.of) {
      found.add({ offset, what: 'the record belongs to an earlier part of the file' });
      return undefined;
    }
    const into = sets.get(of);
    if (!into) {
      if (!sets.has(of)) found.add({ offset, what: 'the record of its backup set is missing' });
      return undefined;
    }
    await leave();
    const open = options.isDryRun ? lookPart : openPart;
    part = await open(store, of, into, options);
    return part;
  }
  async function take(record: ExportRecord): Promise<void> {
    const { kind, set: of, body, offset } = record;
    switch (kind) {
      case 'begin':
        contents ??= decodeExportContents(body);
        total = contents.points.reduce((sum, { bytes }) => sum + bytes, 0);
        return;
      case 'set':
        await setOf(of, decodeSet(body));
        return;
      case 'index':
        reasons = reasonsIn(body);
        return;
      case 'end':
        return;
      case 'frame':
      case 'profile':
      case 'point': {
        await checkSets();
        const own = await partOf(record);
        if (!own) return;
        if (kind === 'frame') await own.frame(body);
        else if (kind === 'profile') await own.profile(body);
        else found.point(await own.point(body));
        options.onProgress(offset, Math.max(total, offset), storedBytes + own.storedBytes());
      }
    }
  }
  try {
    for await (const record of readExport(source, found.add)) {
      options.signal?.throwIfAborted();
      try {
        await take(record);
      } catch (cause) {
        if (!(cause instanceof FormatError)) throw cause;
        const what = `record ${record.number} ("${record.kind}") is damaged: ${cause.message}`;
        found.add({ offset: record.offset, what });
      }
    }
  } catch (cause) {
    await leave();
    if (!(cause instanceof StoreError) || cause.code !== 'INDEX') throw cause;
    await rebuildIndex(store, { onDamage: options.onStoreDamage });
    const what = 'the index of the store was damaged, and is rebuilt: repeat the import';
    throw new StoreError('INDEX', what, { cause });
  }
  await leave();
  await checkSets();
  found.missing(contents, sets, reasons);
  return { ...found.outcome(), storedBytes };
}

/** The records of one would be stored under the keys of the other. */
function twice({ name, set }: ImportSet): CatalogError {
  const what = `the file has two backup sets "${name}", both for set "${set.name}" of this store`;
  return new CatalogError('CORRUPT', `${what}: it was altered`);
}

/** One set's part of the file, under the store's lock. */
interface Part extends AsyncDisposable {
  readonly of: number;
  storedBytes(): number;
  frame(body: Uint8Array): Promise<void>;
  profile(body: Uint8Array): Promise<void>;
  point(body: Uint8Array): Promise<ImportedPoint>;
}

const storageOf: OpenStorage = async (store, set, onDamage) => {
  await using stack = new AsyncDisposableStack();
  const { domain } = set.record;
  const holder = `backup import into ${set.name}`;
  const writer = stack.use(await openStoreWriter(store, { domain, holder, onDamage }));
  const map = stack.use(await openScratchMap(store, 'import'));
  return { writer, map, owned: stack.move() };
};

async function openPart(
  store: Store,
  of: number,
  { name, set }: ImportSet,
  options: ImportOptions,
): Promise<Part> {
  const { openStorage = storageOf, onStoreDamage } = options;
  await using stack = new AsyncDisposableStack();
  const { writer, map, owned } = await openStorage(store, set, onStoreDamage);
  stack.use(owned);
  // Only under the lock it is certain that the set is still the one that was opened.
  let isBegun = (await setNames(store)).includes(set.name);
  if (isBegun) requireSameSet(await readSet(store, set.name), set);
  const { random } = store;
  const frames = importedFrames({ set, writer, map, random, takeRoom: roomIn(store) });
  let waited = 0;
  /** Until a point says that they are of use. */
  const profiles = new Map<string, Uint8Array>();
  let isProfileLeft = false;

  async function begin(): Promise<void> {
    if (!isBegun) await beginSet(store, set.record);
    isBegun = true;
  }
  async function publish(point: PointRecord): Promise<void> {
    const { machine } = point;
    await writer.commit();
    await begin();
    // A lock of the store where it was exported ends by the trusted time of that one's host.
    const lockedUntil = await lockOfNewPoint(store, set);
    const published = await publishImported(
      store,
      set,
      { ...point, lockedUntil },
      await options.knownPoint(set, machine),
    );
    const profile = profiles.get(machine);
    if (profile && !(await loadProfile(store, set, machine))) {
      await saveProfile(store, set, decodeProfile(profile, set.keys.record));
    }
    await options.onPublished(set, published);
  }
  const open = stack.move();
  return {
    of,
    storedBytes: () => writer.stats.storedBytes,
    async frame(body) {
      await frames.add(body);
      waited += body.length;
      if (waited < WAIT_EVERY) return;
      waited = 0;
      await writer.drained();
    },
    async profile(body) {
      const { machine } = decodeProfile(body, set.keys.record);
      if (profiles.size < PROFILES_MAX) profiles.set(machine, body.slice());
      else if (!isProfileLeft) {
        isProfileLeft = true;
        options.onNotice(leftProfiles(set.name));
      }
    },
    async point(body) {
      const point = pointIn(body, name, set);
      return await takeOrSay(store, { set, point }, async () => {
        const placed = frames.placed(point);
        if (!placed) return came('failed', 'a part of its disks is damaged or missing in the file');
        await publish(placed);
        return came('imported');
      });
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** The same without a change of the store. */
async function lookPart(
  store: Store,
  of: number,
  { name, set }: ImportSet,
  { knownPoint }: ImportOptions,
): Promise<Part> {
  const isHere = (await setNames(store)).includes(set.name);
  const codec = frameCodec(set.keys);
  const plain = new Uint8Array(PLAIN_LENGTH_MAX);
  return {
    of,
    storedBytes: () => 0,
    async frame(body) {
      const { digest, plainLength } = checkFrame(body);
      codec.open(body, plain.subarray(0, plainLength), digest);
    },
    async profile(body) {
      decodeProfile(body, set.keys.record);
    },
    async point(body) {
      const point = pointIn(body, name, set);
      return await takeOrSay(store, { set, point }, async () => {
        if (isHere) await requireNewest(store, set, point, await knownPoint(set, point.machine));
        return came('new');
      });
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Authentic, and of this set of the file. Throws FormatError. */
function pointIn(body: Uint8Array, name: string, { keys }: OpenSet): PointRecord {
  const point = decodePoint(body, keys.record);
  if (point.set === name) return point;
  throw new FormatError('CORRUPT', `it is a recovery point of set "${point.set}"`);
}

/** Boot profiles in memory: of 1.5 MiB each at most. */
export const PROFILES_MAX = 64;

function leftProfiles(set: string): string {
  const what = `boot profiles of more than ${PROFILES_MAX} machines of set "${set}" are in the file`;
  return `${what}: those of the others are not imported, so the first start of these machines reads more slowly`;
}

interface Read {
  readonly set: OpenSet;
  readonly point: PointRecord;
}

type Came = Pick<ImportedPoint, 'state' | 'reason'>;

/** `take` rejects EXISTS for a point that is refused. */
async function takeOrSay(
  store: Store,
  { set, point }: Read,
  take: () => Promise<Came>,
): Promise<ImportedPoint> {
  const { id, machine } = point;
  const is = (it: Came): ImportedPoint => ({ set: set.name, id, machine, ...it });
  if (await isPublished(store, { set: set.name, id })) return is(came('exists'));
  try {
    return is(await take());
  } catch (cause) {
    if (!(cause instanceof CatalogError) || cause.code !== 'EXISTS') throw cause;
    return is(came('failed', cause.message));
  }
}

const came = (state: ImportedPoint['state'], reason?: string): Came => ({ state, reason });
