import { deepEqual, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { SealedOverlay } from '../../../src/block/sealed/sealed-overlay.ts';
import { PLACE_LENGTH, readTrailer } from '../../../src/formats/store/sessions/overlay-log.ts';
import type { File, FileSystem } from '../../../src/sys/files/file-system.ts';
import { seeded } from '../../support/random.ts';
import { bytesOf } from './oracle.ts';
import { open, PAGE, prepared, type Rig, rig } from './rig.ts';

// What the cleaner copies while guests write the same pages: calls of files are held up where the two meet.

/** The next call that `fits` waits from `reached` to `release`. */
interface Gate {
  readonly fits: (file: File, bytes: Uint8Array) => boolean;
  readonly reached: Promise<void>;
  readonly release: () => void;
}

function gated(files: FileSystem) {
  const gates = { read: new Set<Gated>(), write: new Set<Gated>() };
  let first: string | undefined;
  async function pass(of: Set<Gated>, file: File, bytes: Uint8Array): Promise<void> {
    for (const gate of of) {
      if (!gate.fits(file, bytes)) continue;
      of.delete(gate);
      gate.reach();
      return gate.released;
    }
  }
  function wrapped(file: File): File {
    return {
      ...file,
      async read(into, offset) {
        await pass(gates.read, file, into);
        return file.read(into, offset);
      },
      async write(from, offset) {
        await pass(gates.write, file, from);
        return file.write(from, offset);
      },
    };
  }
  return {
    /** The path of the first segment. */
    first: () => first,
    files: {
      ...files,
      async create(path: string) {
        if (path.endsWith('.seg')) first ??= path;
        return wrapped(await files.create(path));
      },
      open: async (path: string, access: 'read' | 'write') =>
        wrapped(await files.open(path, access)),
    },
    hold(call: 'read' | 'write', fits: Gate['fits']): Gate {
      const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
      const { promise: released, resolve: release } = Promise.withResolvers<void>();
      gates[call].add({ fits, reach, released, reached, release });
      return { fits, reached, release };
    },
  };
}

interface Gated extends Gate {
  readonly reach: () => void;
  readonly released: Promise<void>;
}

/** All is written by the pool, where calls can be held up. */
function poolRig(seed: number): Rig {
  return rig(seeded(seed), seed, { limits: { writeNowMax: 0 } });
}

async function turns(count = 40): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function write(overlay: SealedOverlay, page: number, stamp: number): Promise<void> {
  return overlay.write(bytesOf(stamp, page * PAGE, PAGE), page * PAGE, 'cached');
}

/** So often that what page 0 has in the first segment is worth the cleaner's work. */
async function writeOthers(overlay: SealedOverlay): Promise<void> {
  for (let round = 1; round <= 4; round++) {
    for (let page = 1; page <= 20; page++) await write(overlay, page, round * 100 + page);
  }
}

async function isPage(overlay: SealedOverlay, page: number, stamp: number): Promise<boolean> {
  const into = new Uint8Array(PAGE);
  await overlay.read(into, page * PAGE);
  return Buffer.from(into).equals(bytesOf(stamp, page * PAGE, PAGE));
}

function hasPage0(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += PLACE_LENGTH) {
    const trailer = readTrailer(bytes, at + PAGE);
    if (trailer?.kind === 'pages' && trailer.page === 0) return true;
  }
  return false;
}

for (const before of ['page', 'zeros'] as const) {
  test(`a copy of what was there (${before}) never lies behind what a guest has written`, async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const it = poolRig(seed);
      const disk = await prepared(it);
      const { files, hold, first } = gated(disk.files);
      const overlay = await open(files, it);
      const cleaning = hold('read', ({ path }) => path === first());
      if (before === 'page') await write(overlay, 0, 1);
      else await overlay.zero(0, PAGE, 'cached');
      await writeOthers(overlay);
      await overlay.flush();
      await cleaning.reached;
      const writing = hold('write', (_, bytes) => hasPage0(bytes));
      const written = write(overlay, 0, 999);
      await writing.reached;
      // Now the new page is sealed, and the map does not have it yet.
      cleaning.release();
      await turns();
      writing.release();
      await written;
      await overlay.flush();
      await overlay.idle();
      ok(await isPage(overlay, 0, 999));
      const next = await open(disk.kill().files, it);
      ok(await isPage(next, 0, 999), `seed ${seed}: the log has it last`);
      deepEqual(it.damage, []);
    }
  });
}

test('a copy that is written later than what a guest wrote since is not what is read', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const it = poolRig(seed);
    const disk = await prepared(it);
    const { files, hold, first } = gated(disk.files);
    const overlay = await open(files, it);
    const cleaning = hold('read', ({ path }) => path === first());
    await write(overlay, 0, 1);
    await writeOthers(overlay);
    await overlay.flush();
    await cleaning.reached;
    const copying = hold('write', (_, bytes) => hasPage0(bytes));
    cleaning.release();
    await copying.reached;
    // Now the copy is sealed; what a guest writes comes behind it, and is written first.
    await write(overlay, 0, 999);
    copying.release();
    await overlay.idle();
    ok(await isPage(overlay, 0, 999), `seed ${seed}`);
    ok(overlay.stats.live <= 25);
    await overlay.flush();
    const next = await open(disk.kill().files, it);
    ok(await isPage(next, 0, 999), `seed ${seed}: the log has it last`);
    deepEqual(it.damage, []);
  }
});

test('a segment is not dead while the map does not know yet what was written to it', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const size = 64 * PAGE;
    const it = { ...poolRig(seed), size };
    const disk = await prepared(it);
    const { files, hold, first } = gated(disk.files);
    const overlay = await open(files, it);
    // All of the first segment is under way when a flush begins behind it.
    const writing = Array.from({ length: 8 }, () => hold('write', ({ path }) => path === first()));
    const pages = Array.from({ length: 28 }, (_, page) => page);
    const written = Promise.all(pages.map((page) => write(overlay, page, 1 + page)));
    await turns();
    const flushed = overlay.flush();
    await turns();
    for (const it of writing) it.release();
    await Promise.all([written, flushed]);
    for (let n = 0; n < 3; n++) {
      await overlay.idle();
      await write(overlay, 40 + n, 1);
      await overlay.flush();
    }
    for (const page of pages) ok(await isPage(overlay, page, 1 + page), `page ${page}`);
    const next = await open(disk.kill().files, it);
    for (const page of pages) ok(await isPage(next, page, 1 + page), `page ${page} of the next`);
    deepEqual(it.damage, []);
  }
});
