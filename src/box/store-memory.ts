import { join, resolve } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import {
  type BoxMark,
  type BoxMemory,
  markFile,
  orderDigest,
  type RememberedSet,
  type RememberedStore,
} from '../formats/store/service/box.ts';
import type { Needs } from '../formats/store/base/features.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { SystemError } from '../sys/base/system-error.ts';
import type { BoxFiles, Loaded, Whole } from './box-files.ts';
import { type MarkedMemory, markedMemory } from './marked.ts';
import { type PublishedMemory, publishedMemory } from './published.ts';

/*
 * The box's memory of one store: sets as it last used them, and digests of orders. An order in the store is obeyed if
 * its digest is in the memory. Grammar: formats/store/service/box.md.
 */

/** The facts about a store that its memory needs. */
export interface StorePlace {
  readonly id: string;
  readonly directory: string;
  /** The store's own record, as last read. */
  readonly record: { readonly needs: Needs };
}

export type OrderKind = 'session' | 'served' | 'placed' | 'debt' | 'job' | 'schedule' | 'retention';

export interface Order {
  readonly kind: OrderKind;
  readonly name: string;
  /** The significant fields of the order: an object that can be JSON. */
  readonly order: object;
}

/**
 * How the box knows a store. `first`: this box has no memory at all yet. `new`: it does not know this store.
 * `returned`: the store was away, and all its orders were forgotten. `unknown`: the memory cannot be read.
 */
export type Met = 'first' | 'new' | 'known' | 'returned' | 'unknown';

export interface StoreMemory {
  /** The newest recovery points that this box published. */
  readonly published: PublishedMemory;
  /** Up to which record this box has said what keeps points. */
  readonly marked: MarkedMemory;
  /** The current memory, for several questions at once. */
  look(): Promise<Remembered>;
  /**
   * Rejects if the orders cannot be recorded; then they must not change. An unreadable memory stays as it is:
   * `isOurs` then returns false for every order.
   */
  remember(orders: readonly Order[]): Promise<void>;
  /** From now on only the new form of a changed order counts. */
  settle(orders: readonly Order[]): Promise<void>;
  forget(orders: readonly Pick<Order, 'kind' | 'name'>[]): Promise<void>;
  /** Remembers a set as it was opened or created here, and the store's current features. */
  rememberSet(name: string, set: RememberedSet): Promise<void>;
  /** A later set of this name is another one. */
  forgetSet(name: string): Promise<void>;
  /** Compares the mark in the store with the memory. Rejects IO. */
  meet(): Promise<Met>;
  /** Leaves a new mark in the store. Rejects if the store, or the memory, cannot be written. */
  mark(): Promise<void>;
  /**
   * These count from now on as well, because a person says so. An unreadable memory is moved aside. Rejects if that
   * cannot be recorded.
   */
  adopt(orders: readonly Order[], sets: Readonly<Record<string, RememberedSet>>): Promise<void>;
}

export interface Remembered {
  /** Why the memory cannot be used. */
  readonly problem: string | undefined;
  isOurs(order: Order): boolean;
  set(name: string): RememberedSet | undefined;
  /** Features that the store had when this box last used one of its sets, and no longer has by its record. */
  readonly lost: readonly string[];
  /** Features that it has now and did not have then. */
  readonly gained: readonly string[];
}

const MARK = 'box.json';
const MARK_LENGTH_MAX = 64 * 1024;

export function memoryOf(core: BoxFiles, store: StorePlace): StoreMemory {
  const { id } = store;
  const directory = resolve(store.directory);
  const { files } = core.world;
  const markPath = join(directory, MARK);

  function entryOf(memory: BoxMemory): RememberedStore | undefined {
    return ownEntry(memory.stores, id);
  }
  function withEntry(memory: BoxMemory, entry: RememberedStore): BoxMemory {
    return { ...memory, stores: { ...memory.stores, [id]: entry } };
  }
  const fresh = (): RememberedStore => ({
    ...{ path: directory, epoch: 0, nextEpoch: 0, marked: false },
    ...{ sets: {}, features: [], orders: {} },
  });
  async function edit(
    step: (entry: RememberedStore, key: Uint8Array) => RememberedStore,
  ): Promise<void> {
    if ((await core.load()).kind === 'damaged') return;
    await core.change(async ({ memory, key }) => {
      const entry = entryOf(memory);
      const next = step(entry ?? fresh(), key);
      return { memory: next === entry ? memory : withEntry(memory, next), answer: undefined };
    });
  }
  const { readMark, inSight } = markIn(files, { id, path: markPath });
  return {
    published: publishedMemory(core, { id, path: directory }),
    marked: markedMemory(core, { id, path: directory }),
    look: async () => lookedUp(await core.load(), store),
    remember: (orders) => edit((entry, key) => ordered(entry, key, { orders, keep: 'both' })),
    settle: (orders) => edit((entry, key) => ordered(entry, key, { orders, keep: 'new' })),
    async forget(orders) {
      const gone = new Set(orders.map(keyOf));
      const loaded = await core.load();
      const known = loaded.kind === 'whole' ? entryOf(loaded.memory) : undefined;
      if (!known || !Object.keys(known.orders).some((name) => gone.has(name))) return;
      await edit((entry) => ({
        ...entry,
        orders: Object.fromEntries(
          Object.entries(entry.orders).filter(([name]) => !gone.has(name)),
        ),
      }));
    },
    rememberSet: (name, set) =>
      edit((entry) => ({
        ...entry,
        sets: { ...entry.sets, [name]: set },
        path: directory,
        features: [...new Set([...knownFeatures(entry, store), ...featuresOf(store)])].sort(),
      })),
    async forgetSet(name) {
      const loaded = await core.load();
      const known = loaded.kind === 'whole' ? entryOf(loaded.memory) : undefined;
      if (!known || !Object.hasOwn(known.sets, name)) return;
      await edit((entry) => ({
        ...entry,
        sets: Object.fromEntries(Object.entries(entry.sets).filter(([set]) => set !== name)),
      }));
    },
    async meet() {
      const loaded = await core.load();
      if (loaded.kind === 'damaged') return 'unknown';
      // Recorded only by `adopt`: if interrupted before that, it is the first time again.
      if (loaded.kind === 'none' && !(await files.stat(markPath))) return 'first';
      const known = loaded.kind === 'whole' ? entryOf(loaded.memory) : undefined;
      if (loaded.kind === 'whole' && known && (await inSight(known, loaded))) return 'known';
      return core.change<Met>(async ({ memory }) => {
        const entry = entryOf(memory);
        if (!entry) return { memory: withEntry(memory, fresh()), answer: 'new' };
        return { memory: withEntry(memory, { ...entry, orders: {} }), answer: 'returned' };
      });
    },
    mark: () =>
      core.change(async (whole) => {
        const entry = entryOf(whole.memory) ?? fresh();
        const mark = await readMark(whole.key, whole.memory);
        const last = mark !== undefined && mark !== 'other' ? mark.epoch : entry.nextEpoch;
        const epoch = Math.max(last, entry.nextEpoch) + 1;
        const next = { ...entry, path: directory, epoch: last, nextEpoch: epoch };
        const memory = withEntry(whole.memory, next);
        await core.put({ ...whole, memory });
        const bytes = markFile.encode({ box: memory.box, store: id, epoch }, whole.key);
        await putDurably(files, markPath, bytes);
        return { memory: withEntry(memory, { ...next, epoch, marked: true }), answer: undefined };
      }),
    async adopt(orders, sets) {
      await core.putAside();
      // Not `edit`, which leaves an unreadable memory alone: nothing would be adopted then.
      await core.change(async ({ memory, key }) => {
        const entry = entryOf(memory) ?? fresh();
        // A set whose record cannot be read now is not shown either, and must not be replaced by another one.
        const known = { path: directory, sets: { ...entry.sets, ...sets } };
        const next = { ...entry, ...known, features: featuresOf(store) };
        const answer = undefined;
        return { memory: withEntry(memory, ordered(next, key, { orders, keep: 'new' })), answer };
      });
    },
  };
}

function keyOf({ kind, name }: Pick<Order, 'kind' | 'name'>): string {
  return `${kind}/${name}`;
}

/** At most two forms of each: the one being written, and the present one until then. */
function ordered(
  entry: RememberedStore,
  key: Uint8Array,
  { orders, keep }: { readonly orders: readonly Order[]; readonly keep: 'both' | 'new' },
): RememberedStore {
  const next = { ...entry.orders };
  for (const it of orders) {
    const digest = orderDigest(it.order, key);
    const before = (next[keyOf(it)] ?? []).filter((known) => known !== digest);
    next[keyOf(it)] = keep === 'both' ? [digest, ...before.slice(0, 1)] : [digest];
  }
  const isSame = JSON.stringify(next) === JSON.stringify(entry.orders);
  return isSame ? entry : { ...entry, orders: next };
}

/** The mark in a store. */
function markIn(files: FileSystem, { id, path }: { readonly id: string; readonly path: string }) {
  /** The mark of this box; `other`: of another box, or unreadable; undefined: there is none. */
  async function readMark(
    key: Uint8Array,
    memory: BoxMemory,
  ): Promise<BoxMark | 'other' | undefined> {
    const found = await files.stat(path);
    if (!found) return undefined;
    // No box leaves such a mark. An attacker with write access must not be able to hide in this way that the store
    // was away.
    if (found.kind !== 'file' || found.size > MARK_LENGTH_MAX) return 'other';
    try {
      const mark = markFile.decode(await files.readFile(path, MARK_LENGTH_MAX), key);
      return mark.box === memory.box && mark.store === id ? mark : 'other';
    } catch (cause) {
      const isDenied = cause instanceof SystemError && cause.code === 'DENIED';
      if (!isDenied && !(cause instanceof FormatError)) throw cause;
      return 'other';
    }
  }
  async function inSight(
    { epoch, nextEpoch, marked }: RememberedStore,
    { key, memory }: Whole,
  ): Promise<boolean> {
    const mark = await readMark(key, memory);
    if (mark === undefined) return !marked;
    return mark !== 'other' && (mark.epoch === epoch || mark.epoch === nextEpoch);
  }
  return { readMark, inSight };
}

/** An unknown store has no orders of ours. */
function lookedUp(loaded: Loaded, store: StorePlace): Remembered {
  const entry = loaded.kind === 'whole' ? ownEntry(loaded.memory.stores, store.id) : undefined;
  const problem = loaded.kind === 'damaged' ? loaded.reason : undefined;
  if (loaded.kind !== 'whole' || !entry) {
    return {
      ...{ problem, isOurs: () => false, set: () => undefined },
      ...{ lost: [], gained: featuresOf(store) },
    };
  }
  const now = featuresOf(store);
  const { key } = loaded;
  return {
    problem,
    isOurs: (it) => (ownEntry(entry.orders, keyOf(it)) ?? []).includes(orderDigest(it.order, key)),
    set: (name) => ownEntry(entry.sets, name),
    lost: knownFeatures(entry, store).filter((it) => !now.includes(it)),
    gained: now.filter((it) => !knownFeatures(entry, store).includes(it)),
  };
}

/** A copy elsewhere, for example to try an upgrade, has features of its own. */
function knownFeatures({ path, features }: RememberedStore, store: StorePlace): readonly string[] {
  return path === resolve(store.directory) ? features : [];
}

function featuresOf({ record: { needs } }: StorePlace): string[] {
  return [...new Set([...needs.read, ...needs.write])].sort();
}

function ownEntry<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
