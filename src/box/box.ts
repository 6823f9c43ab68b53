import { dirname, join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import {
  BOX_ID_LENGTH,
  BOX_KEY_LENGTH,
  type BoxMark,
  type BoxMemory,
  decodeMark,
  decodeMemory,
  encodeMark,
  encodeMemory,
  orderDigest,
  type RememberedSet,
  type RememberedStore,
} from '../formats/store/box.ts';
import type { FileSystem } from '../sys/file-system.ts';
import { isOwnDirectory, requirePrivate } from '../sys/private-files.ts';
import { putDurably } from '../sys/put-durably.ts';
import { SystemError } from '../sys/system-error.ts';
import type { World } from '../sys/world.ts';

/*
 * What this machine, or this user, knows of stores without asking them: whoever can write to a store writes orders
 * (sessions, jobs, schedules) and descriptions of sets as he likes. An order is obeyed if its digest is remembered
 * here. Grammar: formats/store/box.md. Nothing is read before something is asked, and a memory that cannot be read is
 * never replaced by an empty one without a person saying so.
 */
export interface Box {
  readonly directory: string;
  of(store: StorePlace): StoreMemory;
  /** Makes the directory, if it is not there. Rejects where that cannot be done. */
  prepare(): Promise<void>;
  /** Why nothing is remembered; undefined: all is well. Rejects IO. */
  problem(): Promise<string | undefined>;
  /** Everything is forgotten, the key too: every store has to be adopted again. */
  reset(): Promise<void>;
}

/** A store, as far as its memory is concerned. */
export interface StorePlace {
  readonly id: string;
  readonly directory: string;
}

export type OrderKind = 'session' | 'served' | 'job' | 'schedule';

export interface Order {
  readonly kind: OrderKind;
  readonly name: string;
  /** What counts of it: an object that can be JSON. */
  readonly order: object;
}

/**
 * How a store is met. `first`: this box remembers no store at all. `new`: not this one. `returned`: it was out of
 * sight, and all its orders were forgotten. `unknown`: the memory cannot be read.
 */
export type Met = 'first' | 'new' | 'known' | 'returned' | 'unknown';

export interface StoreMemory {
  /** As it is now, for several questions at once. */
  look(): Promise<Remembered>;
  /**
   * Rejects where it cannot be noted; the order must not change then. A memory that cannot be read stays as it is:
   * whoever asks whether an order is ours hears no.
   */
  remember(orders: readonly Order[]): Promise<void>;
  /** Of an order that was changed, only its new form counts from now on. */
  settle(orders: readonly Order[]): Promise<void>;
  forget(orders: readonly Pick<Order, 'kind' | 'name'>[]): Promise<void>;
  /** Of a set, as it was opened or made here. */
  rememberSet(name: string, set: RememberedSet): Promise<void>;
  /** Compares the mark in the store with what is remembered. Rejects IO. */
  meet(): Promise<Met>;
  /** Leaves a new mark in the store. Rejects where the store, or the memory, cannot be written. */
  mark(): Promise<void>;
  /** Exactly these count from now on, because a person says so. A memory that cannot be read is put aside. */
  adopt(orders: readonly Order[], sets: Readonly<Record<string, RememberedSet>>): Promise<void>;
}

export interface Remembered {
  isOurs(order: Order): boolean;
  set(name: string): RememberedSet | undefined;
}

export interface BoxOptions {
  readonly directory: string;
  /** Where systemd puts credentials. */
  readonly credentials: string | undefined;
}

/** The credential of systemd that takes the place of the file. */
const BOX_CREDENTIAL = 'holdfast-box-key';
const KEY = 'box.key';
const MEMORY = 'memory.json';
const MARK = 'box.json';
const LOCK = 'lock';
const MEMORY_LENGTH_MAX = 64 * 1024 * 1024;
const MARK_LENGTH_MAX = 64 * 1024;
/** A change takes two syncs; a slow disk has that behind it by then. */
const LOCK_WAIT_MS = 10_000;
const LOCK_POLL_MS = 10;

type Loaded =
  | { readonly kind: 'whole'; readonly key: Uint8Array; readonly memory: BoxMemory }
  | { readonly kind: 'none'; readonly key: Uint8Array | undefined }
  | { readonly kind: 'damaged'; readonly reason: string };

export function openBox(world: World, { directory, credentials }: BoxOptions): Box {
  const { files, clock, random } = world;
  const keyPath = join(directory, KEY);
  const memoryPath = join(directory, MEMORY);

  async function readKey(): Promise<Uint8Array | undefined> {
    const credential = credentials === undefined ? undefined : join(credentials, BOX_CREDENTIAL);
    const isCredential = credential !== undefined && (await files.stat(credential)) !== undefined;
    const path = isCredential ? credential : keyPath;
    if (!isCredential) {
      if (!(await files.stat(path))) return undefined;
      requirePrivate(path);
    }
    const key = await files.readFile(path, BOX_KEY_LENGTH * 2);
    if (key.length === BOX_KEY_LENGTH) return key;
    throw new FormatError('CORRUPT', `${path}: ${key.length} bytes, not ${BOX_KEY_LENGTH}`);
  }
  async function load(): Promise<Loaded> {
    try {
      const key = await readKey();
      if (!(await files.stat(memoryPath))) return { kind: 'none', key };
      const bytes = await files.readFile(memoryPath, MEMORY_LENGTH_MAX);
      if (!key) throw new FormatError('CORRUPT', `its key ${keyPath} is gone`);
      return { kind: 'whole', key, memory: decodeMemory(bytes, key) };
    } catch (cause) {
      const isDenied = cause instanceof SystemError && cause.code === 'DENIED';
      if (!isDenied && !(cause instanceof FormatError)) throw cause;
      const reason = `${memoryPath} cannot be used: ${cause.message}`;
      return { kind: 'damaged', reason };
    }
  }
  async function makeDirectory(): Promise<void> {
    if (!(await files.stat(directory))) {
      await files.makeDirectory(directory);
      await files.syncDirectory(dirname(directory));
    }
    // Root may look into the directory of the service; a file of root's in it would lock the service out.
    if (isOwnDirectory(directory)) return;
    throw new SystemError('DENIED', `${directory} belongs to another user: nothing is noted there`);
  }
  /** Commands of one user, and processes of the service, change it at the same time. */
  async function locked<T>(work: () => Promise<T>): Promise<T> {
    await makeDirectory();
    const untilMs = clock.sinceBootMs() + LOCK_WAIT_MS;
    for (;;) {
      try {
        await using _lock = await files.lock(join(directory, LOCK), 'the memory of the box');
        return await work();
      } catch (cause) {
        const isBusy = cause instanceof SystemError && cause.code === 'BUSY';
        if (!isBusy || clock.sinceBootMs() > untilMs) throw cause;
        await clock.sleep(LOCK_POLL_MS);
      }
    }
  }
  async function begin(known: Uint8Array | undefined): Promise<Loaded & { kind: 'whole' }> {
    const key = known ?? random.bytes(BOX_KEY_LENGTH);
    if (!known) await putDurably(files, keyPath, key);
    const box = Buffer.from(random.bytes(BOX_ID_LENGTH)).toString('hex');
    return { kind: 'whole', key, memory: { box, stores: {} } };
  }
  async function change<T>(
    step: (whole: Loaded & { kind: 'whole' }) => Promise<{ memory: BoxMemory; answer: T }>,
  ): Promise<T> {
    return locked(async () => {
      const loaded = await load();
      if (loaded.kind === 'damaged') throw new SystemError('FAILED', loaded.reason);
      const whole = loaded.kind === 'whole' ? loaded : await begin(loaded.key);
      const { memory, answer } = await step(whole);
      if (memory !== whole.memory || loaded.kind === 'none') {
        await putDurably(files, memoryPath, encodeMemory(memory, whole.key));
      }
      return answer;
    });
  }
  const core: Core = { world, directory, load, change, putAside };

  async function putAside(): Promise<void> {
    const loaded = await load();
    if (loaded.kind !== 'damaged') return;
    for (const path of [memoryPath, keyPath]) {
      if (await files.stat(path)) await files.rename(path, `${path}.damaged`);
    }
    await files.syncDirectory(directory);
  }
  return {
    directory,
    of: (store) => memoryOf(core, store),
    prepare: makeDirectory,
    async problem() {
      const loaded = await load();
      return loaded.kind === 'damaged' ? loaded.reason : undefined;
    },
    async reset() {
      if (!(await files.stat(directory))) return;
      await locked(async () => {
        // The key last: a memory without one is damaged, and no store is taken for adopted.
        for (const path of [memoryPath, keyPath]) {
          if (await files.stat(path)) await files.unlink(path);
        }
        await files.syncDirectory(directory);
      });
    },
  };
}

interface Core {
  readonly world: World;
  readonly directory: string;
  load(): Promise<Loaded>;
  change<T>(
    step: (whole: Loaded & { kind: 'whole' }) => Promise<{ memory: BoxMemory; answer: T }>,
  ): Promise<T>;
  /** What cannot be read makes room for a new memory. */
  putAside(): Promise<void>;
}

function memoryOf(core: Core, { id, directory }: StorePlace): StoreMemory {
  const { files } = core.world;
  const markPath = join(directory, MARK);

  function entryOf(memory: BoxMemory): RememberedStore | undefined {
    return ownEntry(memory.stores, id);
  }
  function withEntry(memory: BoxMemory, entry: RememberedStore): BoxMemory {
    return { ...memory, stores: { ...memory.stores, [id]: entry } };
  }
  const fresh = (): RememberedStore => ({
    ...{ path: directory, epoch: 0, nextEpoch: 0, marked: false, sets: {}, orders: {} },
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
    look: async () => lookedUp(await core.load(), id),
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
      edit((entry) => ({ ...entry, sets: { ...entry.sets, [name]: set } })),
    async meet() {
      const loaded = await core.load();
      if (loaded.kind === 'damaged') return 'unknown';
      const known = loaded.kind === 'whole' ? entryOf(loaded.memory) : undefined;
      if (loaded.kind === 'whole' && known && (await inSight(known, loaded))) return 'known';
      return core.change<Met>(async (whole) => {
        const entry = entryOf(whole.memory);
        if (entry) {
          const next = { ...entry, orders: {} };
          return { memory: withEntry(whole.memory, next), answer: 'returned' };
        }
        const isUnmarked = (await readMark(whole.key, whole.memory)) === undefined;
        const isFirst = isUnmarked && Object.keys(whole.memory.stores).length === 0;
        return {
          memory: withEntry(whole.memory, fresh()),
          answer: isFirst ? 'first' : 'new',
        };
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
        const memoryPath = join(core.directory, MEMORY);
        await putDurably(files, memoryPath, encodeMemory(memory, whole.key));
        const bytes = encodeMark({ box: memory.box, store: id, epoch }, whole.key);
        await putDurably(files, markPath, bytes);
        return { memory: withEntry(memory, { ...next, epoch, marked: true }), answer: undefined };
      }),
    async adopt(orders, sets) {
      await core.putAside();
      await edit((entry, key) =>
        ordered({ ...entry, sets, orders: {} }, key, { orders, keep: 'new' }),
      );
    },
  };
}

function keyOf({ kind, name }: Pick<Order, 'kind' | 'name'>): string {
  return `${kind}/${name}`;
}

/** At most two of each: the one that is written now, and the one that is there until then. */
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

/** The mark that lies in a store. */
function markIn(files: FileSystem, { id, path }: { readonly id: string; readonly path: string }) {
  /** Of this box; `other`: of another one, or it cannot be read; undefined: there is none. */
  async function readMark(
    key: Uint8Array,
    memory: BoxMemory,
  ): Promise<BoxMark | 'other' | undefined> {
    if (!(await files.stat(path))) return undefined;
    try {
      const mark = decodeMark(await files.readFile(path, MARK_LENGTH_MAX), key);
      return mark.box === memory.box && mark.store === id ? mark : 'other';
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      return 'other';
    }
  }
  async function inSight(
    { epoch, nextEpoch, marked }: RememberedStore,
    { key, memory }: Loaded & { kind: 'whole' },
  ): Promise<boolean> {
    const mark = await readMark(key, memory);
    if (mark === undefined) return !marked;
    return mark !== 'other' && (mark.epoch === epoch || mark.epoch === nextEpoch);
  }
  return { readMark, inSight };
}

/** A store that is not remembered has no orders of ours. */
function lookedUp(loaded: Loaded, id: string): Remembered {
  const entry = loaded.kind === 'whole' ? ownEntry(loaded.memory.stores, id) : undefined;
  if (loaded.kind !== 'whole' || !entry) return { isOurs: () => false, set: () => undefined };
  const { key } = loaded;
  return {
    isOurs: (it) => (ownEntry(entry.orders, keyOf(it)) ?? []).includes(orderDigest(it.order, key)),
    set: (name) => ownEntry(entry.sets, name),
  };
}

function ownEntry<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
