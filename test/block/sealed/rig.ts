import { createHash } from 'node:crypto';
import { basename } from 'node:path/posix';
import { memoryDevice } from '../../../src/block/memory.ts';
import {
  openSealedOverlay,
  prepareSealedOverlay,
  type SealedOverlay,
  type SealedOverlayOptions,
} from '../../../src/block/sealed/sealed-overlay.ts';
import type { Suite } from '../../../src/formats/store/sessions/overlay-log.ts';
import { type Clock, systemClock } from '../../../src/sys/base/clock.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { pageSealer } from '../../../src/sys/crypto/page-sealer.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import type { Random } from '../../../src/sys/base/random.ts';
import { type CrashingFs, crashingFs } from '../../support/crashing-fs.ts';
import { noise } from '../../support/random.ts';
import { ROOMY } from '../../support/space.ts';

/** What an overlay is opened with, so small that everything happens within some dozen requests. */
export const HOME = '/session';
export const DISK = 'vda';
export const PLACES = 24;
export const PAGE = 4096;
/** No whole number of pages. */
export const SIZE = 24 * PAGE + 1000;
/** The session's journal: there once segments have existed. */
const BEGUN = `${HOME}/begun`;

const bases = new Map<number, Uint8Array>();

/** It may not be changed. */
export function baseContents(size = SIZE): Uint8Array {
  const made = bases.get(size) ?? noise(size, 5);
  bases.set(size, made);
  return made;
}

/** Every key with every nonce that something was sealed under. */
export interface Nonces {
  /** Those that something was sealed under again. */
  readonly twice: string[];
  readonly used: Set<string>;
  readonly keys: Set<string>;
  readonly sealer: NonNullable<SealedOverlayOptions['sealer']>;
}

export function nonces(): Nonces {
  const used = new Set<string>();
  const keys = new Set<string>();
  const twice: string[] = [];
  return {
    twice,
    used,
    keys,
    sealer(key, suite) {
      const name = Buffer.from(key).toString('hex');
      const inner = pageSealer(key, suite);
      return {
        seal(iv, ...rest) {
          keys.add(name);
          // A quad has the places of four.
          const id = `${name} ${Buffer.from(iv).toString('hex')}`;
          if (used.has(id)) twice.push(id);
          used.add(id);
          inner.seal(iv, ...rest);
        },
        open: (...all) => inner.open(...all),
        [Symbol.dispose]: () => inner[Symbol.dispose](),
      };
    },
  };
}

/** Bytes that never come again, the same for a seed. */
export function endlessBytes(seed: number): Random {
  let count = 0;
  return {
    bytes(length) {
      const parts: Buffer[] = [];
      for (let have = 0; have < length; have += 32) {
        parts.push(createHash('sha256').update(`${seed} ${count++}`).digest());
      }
      return Buffer.concat(parts).subarray(0, length);
    },
  };
}

export interface TestClock extends Clock {
  /** Lets so much time pass; wakes those whose time has come. */
  pass(ms: number): void;
  /** The wall clock alone goes ahead: as where a copy of a machine's memory goes on later. */
  jump(ms: number): void;
}

/** Sometimes slow, so that what blocks and what does not both occur; the same for a seed. */
function testClock(random: () => number): TestClock {
  let ms = 0;
  const sleepers = new Set<{ readonly until: number; readonly wake: () => void }>();
  let ahead = 0;
  return {
    ...systemClock(),
    now: () => new Date(1.7e12 + ms + ahead),
    monotonicMs: () => (ms += random() < 0.1 ? 10 : 0.1),
    sinceBootMs: () => ms,
    sleep: (duration, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { until: ms + duration, wake: resolve };
        if (signal?.aborted) return reject(signal.reason as Error);
        sleepers.add(sleeper);
        signal?.addEventListener('abort', () => {
          if (sleepers.delete(sleeper)) reject(signal.reason as Error);
        });
      }),
    jump: (by) => void (ahead += by),
    pass(duration) {
      ms += duration;
      for (const sleeper of [...sleepers]) {
        if (sleeper.until > ms || !sleepers.delete(sleeper)) continue;
        sleeper.wake();
      }
    },
  };
}

export interface Rig {
  readonly random: () => number;
  readonly bytes: Random;
  readonly clock: TestClock;
  readonly nonces: Nonces;
  readonly damage: string[];
  readonly suite: Suite;
  readonly options: Partial<SealedOverlayOptions>;
  readonly size: number;
}

export function rig(
  random: () => number,
  seed: number,
  { size = SIZE, ...options }: Partial<SealedOverlayOptions> & { readonly size?: number } = {},
): Rig {
  return {
    random,
    bytes: endlessBytes(seed),
    clock: testClock(random),
    nonces: nonces(),
    damage: [],
    suite: seed % 2 === 0 ? 1 : 2,
    // Half of them write by the pool alone, where others continue in the meantime.
    options: seed % 4 < 2 ? options : { ...options, limits: { ...options.limits, writeNowMax: 0 } },
    size,
  };
}

/** An overlay of small segments that are left and cleaned soon. */
const LIMITS: SealedOverlayOptions['limits'] = {
  unprovenMax: 30 * 4136,
  waitAt: 60 * 4136,
  deadMax: 4 * PAGE,
  stepMax: 8,
};

export function keyOf(suite: Suite): SealedOverlayOptions['key'] {
  return { suite, overlayKey: new Uint8Array(32).fill(7) };
}

export async function open(files: FileSystem, it: Rig): Promise<SealedOverlay> {
  const begun = (await files.stat(BEGUN)) !== undefined;
  const { bytes, clock, nonces, damage, suite, options } = it;
  return openSealedOverlay(
    {
      files,
      clock,
      random: bytes,
      directory: HOME,
      disk: DISK,
      space: { ...ROOMY, full: () => clock.sleep(1000) },
      session: 'session-1',
      key: keyOf(suite),
      begun,
      begin: () => putDurably(files, BEGUN, new Uint8Array(1)),
      onDamage: (where, what) => void damage.push(`${where}: ${what}`),
      sealer: nonces.sealer,
      ...options,
      limits: { ...LIMITS, ...options.limits },
    },
    memoryDevice(baseContents(it.size)),
  );
}

/** A disk with a session whose overlay is prepared, durably. */
export async function prepared(it: Rig): Promise<CrashingFs> {
  const disk = crashingFs(it.random);
  await disk.files.makeDirectory(HOME);
  await disk.files.syncDirectory('/');
  const { files } = disk;
  const { bytes, suite } = it;
  await prepareSealedOverlay({
    files,
    random: bytes,
    directory: HOME,
    disk: DISK,
    size: it.size,
    suite,
    places: PLACES,
  });
  await files.syncDirectory(HOME);
  return disk;
}

/** Takes down the names of the files that are written. */
export function writesSeen(files: FileSystem, names: string[]): FileSystem {
  return {
    ...files,
    async open(path, access) {
      const file = await files.open(path, access);
      return {
        ...file,
        write(from, offset) {
          names.push(basename(path));
          return file.write(from, offset);
        },
        writeNow(from, offset) {
          names.push(basename(path));
          return file.writeNow(from, offset);
        },
      };
    },
  };
}
