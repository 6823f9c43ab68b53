import { deepEqual } from 'node:assert/strict';
import type { SealedOverlay } from '../../../src/block/sealed/sealed-overlay.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { type CrashingFs, PowerCut } from '../../support/crashing-fs.ts';
import { broken, faultyFs, full, type Operation } from '../../support/faulty-fs.ts';
import { below, seeded } from '../../support/random.ts';
import { give, readAll } from '../conformance.ts';
import { type Asked, bytesOf, type Loss, oracle } from './oracle.ts';
import { baseContents, open, PAGE, prepared, type Rig, rig, SIZE, type TestClock } from './rig.ts';

/** How much was tried. */
export interface Counts {
  runs: number;
  requests: number;
  flushes: number;
  reads: number;
  cuts: number;
  kills: number;
  /** How many of those ended a process while it was in the middle of something. */
  inside: number;
  inRecovery: number;
  faults: number;
  nonces: number;
  segments: number;
  /** Pages that the cleaner copied. */
  copied: number;
}

export function counts(): Counts {
  return {
    runs: 0,
    requests: 0,
    flushes: 0,
    reads: 0,
    cuts: 0,
    kills: 0,
    inside: 0,
    inRecovery: 0,
    faults: 0,
    nonces: 0,
    segments: 0,
    copied: 0,
  };
}

export interface LivesOptions {
  readonly lives: number;
  readonly faults?: Faults;
}

/** How likely calls of the file system are to fail. */
export interface Faults {
  readonly calls: number;
  readonly syncs: number;
}

const NONE: Faults = { calls: 0, syncs: 0 };

/** Uses an overlay through so many processes, each of which ends by a kill, a power cut or a close. */
export async function lives(seed: number, options: LivesOptions, count: Counts): Promise<Rig> {
  const random = seeded(seed);
  const it = rig(random, seed);
  const session = sessionOf(it, await prepared(it), { count, faults: options.faults ?? NONE });
  for (let life = 0; life < options.lives; life++) {
    await named(`SEED=${seed} life ${life}`, async (where) => {
      await session.live(random() < 0.2 ? Number.POSITIVE_INFINITY : below(random, 300));
      await session.recover(random() < 0.5 ? 'nothing answered' : 'unflushed', where);
    });
  }
  deepEqual(it.nonces.twice, [], `SEED=${seed}: sealed twice under one nonce`);
  count.runs++;
  count.nonces += it.nonces.used.size;
  count.segments += it.nonces.keys.size;
  return it;
}

/** One process that ends at that call, and the next one. Answers whether it came to that call. */
export async function endedAt(
  seed: number,
  cutAt: number,
  { loss, count, turns }: { readonly loss: Loss; readonly count: Counts; readonly turns: number },
): Promise<boolean> {
  const random = seeded(seed);
  const it = rig(random, seed);
  const session = sessionOf(it, await prepared(it), { count, turns });
  return named(`SEED=${seed} CUT=${cutAt}`, async (where) => {
    const hasEnded = await session.live(cutAt);
    await session.recover(loss, where);
    deepEqual(it.nonces.twice, [], where);
    count.nonces += it.nonces.used.size;
    return hasEnded;
  });
}

async function named<T>(where: string, work: (where: string) => Promise<T>): Promise<T> {
  try {
    return await work(where);
  } catch (cause) {
    throw new Error(`${where}: ${(cause as Error).message}`, { cause });
  }
}

interface Use {
  readonly count: Counts;
  readonly faults?: Faults;
  /** How often a process uses its overlay; default: at random. */
  readonly turns?: number;
}

/** Turns of the loop after which an unblocked request will no longer be answered. */
const TURNS_MAX = 20_000;
/** Turns in which a process that is dead may still do something. */
const DEAD_TURNS = 50;
/** After so many processes that end or fail in the middle of recovery, one is left alone. */
const TRIES = 6;
const LAST = SIZE - 1;

export function sessionOf(it: Rig, first: CrashingFs, { count, faults = NONE, turns }: Use) {
  const mayFail = faults.calls + faults.syncs > 0;
  const { random, clock } = it;
  const expected = oracle(baseContents());
  let disk = first;
  let stamp = 0;
  /** The kernel has lost what it had taken: then a kill may cost what a power cut may. */
  let isDoubted = false;

  /** Whether the process came to its end before it had closed the overlay. */
  async function live(cutAt: number): Promise<boolean> {
    disk = disk.kill(cutAt);
    const { calls } = disk;
    const isDead = () => calls() > cutAt;
    const files = failing(disk);
    try {
      await finished([use(files, isDead)], clock, isDead);
      return false;
    } catch (cause) {
      if (!isDead() && !mayFail) throw cause;
      if (!isDead() && !isWorldly(cause)) throw cause;
      count.inside++;
      return true;
    }
  }
  async function use(files: FileSystem, isDead: () => boolean): Promise<void> {
    const overlay = await open(files, it);
    const end = turns ?? 3 + below(random, 25);
    for (let turn = 0; turn < end; turn++) {
      const burst = Array.from({ length: 1 + below(random, 5) }, () => act(overlay));
      await finished(burst, clock, isDead);
      if (random() < 0.1) clock.pass(1100);
    }
    count.copied += overlay.stats.copied;
    const closed = expected.flush();
    await overlay[Symbol.asyncDispose]();
    closed();
  }
  async function act(overlay: SealedOverlay): Promise<void> {
    const kind = random();
    count.requests++;
    if (kind < 0.15) {
      count.flushes++;
      const answered = expected.flush();
      if (await tried(overlay.flush())) answered();
      return;
    }
    if (kind < 0.3) return look(overlay);
    const isAligned = random() < 0.6;
    const offset = isAligned ? below(random, SIZE / PAGE) * PAGE : below(random, LAST);
    const pages = random() < 0.6 ? 1 : 1 + below(random, 9);
    const wanted = isAligned ? pages * PAGE : 1 + below(random, pages * PAGE);
    const length = Math.min(wanted, SIZE - offset);
    const isDurable = random() < 0.1;
    const isZero = kind < 0.45;
    const asked = { offset, length, stamp: isZero ? 0 : ++stamp, isDurable };
    const answered = expected.ask(asked);
    if (await tried(changed(overlay, asked, isZero))) answered();
  }
  function changed(
    overlay: SealedOverlay,
    { offset, length, stamp, isDurable }: Asked,
    isZero: boolean,
  ): Promise<void> {
    const durability = isDurable ? 'durable' : 'cached';
    if (isZero) return overlay.zero(offset, length, durability);
    const bytes = bytesOf(stamp, offset, length);
    const isGiven = !isDurable && random() < 0.5;
    return isGiven ? give(overlay, bytes, offset) : overlay.write(bytes, offset, durability);
  }
  async function look(overlay: SealedOverlay): Promise<void> {
    const page = below(random, expected.pages);
    const pages = Math.min(1 + below(random, 5), expected.pages - page);
    const into = new Uint8Array(Math.min(pages * PAGE, SIZE - page * PAGE));
    const found = expected.read();
    count.reads++;
    if (random() < 0.5 && overlay.tryRead(into, page * PAGE, 'medium')) {
      // It is there.
    } else if (!(await tried(overlay.read(into, page * PAGE)))) return;
    for (let at = 0; at < pages; at++) {
      found(page + at, into.subarray(at * PAGE, (at + 1) * PAGE));
    }
  }
  /** Whether it succeeded; only where calls fail may it fail. */
  async function tried(request: Promise<void>): Promise<boolean> {
    try {
      await request;
      return true;
    } catch (cause) {
      if (!mayFail || !isWorldly(cause)) throw cause;
      return false;
    }
  }
  /** The next process takes the overlay up; it may end as well, wherever it is by then. */
  async function recover(wanted: Loss, where: string): Promise<void> {
    let loss: Loss = isDoubted ? 'unflushed' : 'nothing answered';
    for (let tries = 0; ; tries++) {
      const cutAt = tries < TRIES && random() < 0.6 ? below(random, 60) : Number.POSITIVE_INFINITY;
      const isCut = tries === 0 ? wanted === 'unflushed' : random() < 0.3;
      if (isCut) {
        loss = 'unflushed';
        count.cuts++;
        disk = disk.reboot(cutAt);
      } else {
        count.kills++;
        disk = disk.kill(cutAt);
      }
      const { calls } = disk;
      const isDead = () => calls() > cutAt;
      const files = tries < TRIES ? failing(disk) : disk.files;
      if (tries >= TRIES) disk.failSyncs(() => undefined);
      // That process could not read what the kernel had lost.
      if (isDoubted) it.damage.length = 0;
      try {
        await finished([again(files, loss, where)], clock, isDead);
        if (isDead()) throw new PowerCut('while it was left');
      } catch (cause) {
        if (!isDead() && (tries >= TRIES || !isWorldly(cause))) throw cause;
        count.inRecovery++;
        if (isDoubted) loss = 'unflushed';
        continue;
      }
      return;
    }
  }
  async function again(files: FileSystem, loss: Loss, where: string): Promise<void> {
    const found = await readAll(await open(files, it));
    expected.check(found, isDoubted ? 'unflushed' : loss, where);
    // What was served once stays, whatever happens.
    expected.restart(found);
    isDoubted = false;
    deepEqual(it.damage, [], `${where}: called damaged`);
  }
  function failing(inner: CrashingFs): FileSystem {
    if (!mayFail) return inner.files;
    inner.failSyncs(() => {
      if (random() >= faults.syncs) return undefined;
      count.faults++;
      isDoubted = true;
      return (['none', 'begun', 'begun', 'some', 'all'] as const)[below(random, 5)]!;
    });
    return faultyFs(inner.files, (operation, path) => {
      if (operation === 'sync' || random() >= faults.calls) return undefined;
      count.faults++;
      return MAY_BE_FULL.has(operation) && random() < 0.5 ? full(path) : broken(path);
    });
  }
  /** Takes what is there for what was to be expected. */
  async function goOn(): Promise<void> {
    disk = disk.kill();
    expected.restart(await readAll(await open(disk.files, it)));
  }
  return {
    live,
    recover,
    goOn,
    expected,
    get disk() {
      return disk;
    },
  };
}

const MAY_BE_FULL = new Set<Operation>(['create', 'write', 'allocate']);

/** Waits for all of them while time passes. Rejects once the process is dead, or with what one rejects. */
async function finished(
  requests: readonly Promise<void>[],
  clock: TestClock,
  isDead: () => boolean,
): Promise<void> {
  const ends = new Set<Promise<void>>(requests);
  const failures: unknown[] = [];
  for (const request of requests) {
    request.catch((cause: unknown) => failures.push(cause)).finally(() => ends.delete(request));
  }
  let dead = 0;
  for (let turn = 0; ends.size > 0; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (turn % 20 === 19) clock.pass(500);
    if (isDead() && ++dead > DEAD_TURNS) throw new PowerCut('nothing more comes');
    if (turn > TURNS_MAX) throw new Error('a request is never answered');
  }
  if (isDead()) throw new PowerCut('the process has ended');
  if (failures.length > 0) throw failures[0];
}

function isWorldly(cause: unknown): boolean {
  return cause instanceof Error && (cause.name === 'BlockError' || cause.name === 'SystemError');
}
