import { deepEqual, ok } from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { readLayer } from '../../../src/block/layer.ts';
import {
  openSealedOverlay,
  prepareSealedOverlay,
} from '../../../src/block/sealed/sealed-overlay.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { systemRandom } from '../../../src/sys/base/random.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { realFileSystem } from '../../../src/sys/files/real-file-system.ts';
import { PLACE_LENGTH } from '../../../src/formats/store/sessions/overlay-log.ts';
import { below, seeded } from '../../support/random.ts';
import { ROOMY } from '../../support/space.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { heldSyncs } from './held-syncs.ts';
import { bytesOf } from './oracle.ts';
import { keyOf, PAGE } from './rig.ts';

// A sealed overlay of the largest disk, on a real file system.

const MiB = 2 ** 20;
const TiB = 2 ** 40;
const SIZE = 8 * 1024 * TiB - PAGE;
const WRITES = 10_000;
/** Under a busy machine; a turn that took the whole range would take minutes. */
const STALL_MAX_MS = 250;

const empty = readLayer(
  'nothing',
  { size: SIZE, blockSize: PAGE },
  {
    tryRead: (into) => (into.fill(0), true),
    async read(into) {
      into.fill(0);
    },
  },
);

function held(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** The longest that the loop was held up while `work` ran. */
async function stall(work: Promise<void>): Promise<number> {
  let longest = 0;
  const running = new Set([work]);
  const end = work.finally(() => running.clear());
  while (running.size > 0) {
    const began = performance.now();
    await new Promise((resolve) => setImmediate(resolve));
    longest = Math.max(longest, performance.now() - began);
  }
  await end;
  return longest;
}

async function newSession() {
  const files = realFileSystem();
  const directory = join(temporaryDirectory(), 'session');
  await files.makeDirectory(directory);
  const random = systemRandom();
  const place = { files, random, directory, disk: 'vda' };
  await prepareSealedOverlay({ ...place, size: SIZE, suite: 2 });
  return { ...place, clock: systemClock(), space: ROOMY, session: 'session-1', key: keyOf(2) };
}

test('scattered writes and trims of a disk of 8 PiB take bounded memory and time', {
  timeout: 300_000,
}, async (t) => {
  const options = await newSession();
  const where = seeded(1);
  const offsets = Array.from({ length: WRITES }, () => below(where, SIZE / PAGE) * PAGE);
  {
    await using overlay = await openSealedOverlay({ ...options, begun: false }, empty);
    const before = held();
    for (let at = 0; at < WRITES; at += 50) {
      await Promise.all(
        offsets
          .slice(at, at + 50)
          .map((offset, n) => overlay.write(bytesOf(at + n + 1, offset, PAGE), offset, 'cached')),
      );
    }
    await overlay.flush();
    const grown = held() - before;
    t.comment(`${WRITES} writes: ${grown / MiB} MiB, of it the map ${overlay.stats.memory / MiB}`);
    ok(grown < 64 * MiB && overlay.stats.memory < 32 * MiB);
    const [keptAt] = offsets;
    for (const length of [TiB, SIZE]) {
      const memory = overlay.stats.memory;
      const longest = await stall(overlay.zero(0, length, 'cached'));
      t.comment(`a trim of ${length / TiB} TiB held the loop up for ${longest} ms`);
      ok(longest < STALL_MAX_MS, `${longest} ms`);
      ok(overlay.stats.memory < memory + MiB);
    }
    await overlay.write(bytesOf(7, keptAt!, PAGE), keptAt!, 'cached');
    await overlay.write(bytesOf(8, SIZE - PAGE, PAGE), SIZE - PAGE, 'durable');
  }
  await using again = await openSealedOverlay({ ...options, begun: true }, empty);
  for (const [offset, stamp] of [
    [offsets[0]!, 7],
    [SIZE - PAGE, 8],
    [offsets[1]!, 0],
  ] as const) {
    const into = new Uint8Array(PAGE).fill(1);
    await again.read(into, offset);
    deepEqual(Buffer.from(into), bytesOf(stamp, offset, PAGE));
  }
});

/** Segments that keep nothing of what guests write. */
function forgetful(files: FileSystem): FileSystem {
  return {
    ...files,
    async open(path, access) {
      const file = await files.open(path, access);
      if (!path.endsWith('.seg')) return file;
      let isBorn = false;
      return {
        ...file,
        async write(from, offset) {
          if (!isBorn) await file.write(from, offset);
        },
        writeNow() {},
        async allocate() {},
        async sync() {
          if (!isBorn) await file.sync();
          isBorn = true;
        },
      };
    },
  };
}

test('a flush begins by itself at 256 MiB that are not proven, and writes wait at 320 MiB', async () => {
  const session = await newSession();
  const { files, state } = heldSyncs(forgetful(session.files));
  const { promise, resolve } = Promise.withResolvers<void>();
  state.until = promise;
  await using overlay = await openSealedOverlay({ ...session, files, begun: false }, empty);
  const log = () => overlay.stats.appended * PLACE_LENGTH;
  const piece = new Uint8Array(MiB).fill(7);
  let flushedAt = 0;
  let answered = 0;
  const isBusy = (at: number): boolean => answered === at;
  let writing: Promise<void> | undefined;
  for (let at = 0; isBusy(at) && at < 400 * MiB; at += MiB) {
    writing = overlay.write(piece, at, 'cached').then(() => void (answered += MiB));
    // A new segment takes its time; the bound is not waited for so long.
    for (let ms = 0; isBusy(at) && (log() < 315 * MiB || ms < 300); ms++) await sleep(1);
    if (state.syncs > 0) flushedAt ||= log();
  }
  const isWaiting = answered < 400 * MiB;
  const waitedAt = log();
  resolve();
  await writing;
  ok(flushedAt >= 256 * MiB && flushedAt < 259 * MiB, `it begins at ${flushedAt}`);
  ok(isWaiting && waitedAt <= 320 * MiB && waitedAt > 318 * MiB, `writes wait at ${waitedAt}`);
});
