import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { WritableBlockDevice } from '../../../src/block/block-device.ts';
import { memoryDevice } from '../../../src/block/memory.ts';
import { openOverlay, type OverlayOptions } from '../../../src/block/overlay/overlay.ts';
import { encodeOverlayRecord } from '../../../src/formats/store/sessions/overlay-map.ts';
import { encodeRecentHeader } from '../../../src/formats/store/sessions/overlay-recent.ts';
import { type Clock, systemClock } from '../../../src/sys/base/clock.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { type CrashingFs, crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { broken, faultyFs } from '../../support/faulty-fs.ts';
import { below, seeded } from '../../support/random.ts';
import { type Loss, type WriteHistory, writeHistory } from '../../support/write-history.ts';
import { readAll } from '../conformance.ts';
import { ROOMY } from '../../support/space.ts';

// What a killed process and a power cut leave of an overlay.

const SEEDS = Number(process.env['SEEDS'] ?? 3);
const PAGE = 4096;
/** No whole number of pages. */
const SIZE = 24 * PAGE + 1000;
/** Writes have other values, and none has this. */
const BASE_VALUE = 251;
const HOME = '/session';

function baseContents(): Uint8Array {
  return new Uint8Array(SIZE).fill(BASE_VALUE);
}

/** Sometimes slow, so that what blocks and what does not both occur; the same for a seed. */
function simulatedClock(random: () => number): Clock {
  let ms = 0;
  return { ...systemClock(), monotonicMs: () => (ms += random() < 0.1 ? 10 : 0.1) };
}

function open(files: FileSystem, random: () => number, options: Partial<OverlayOptions> = {}) {
  return openOverlay(
    {
      files,
      clock: simulatedClock(random),
      directory: HOME,
      disk: 'vda',
      space: ROOMY,
      ...options,
    },
    memoryDevice(baseContents()),
  );
}

async function made(random: () => number): Promise<CrashingFs> {
  const disk = crashingFs(random);
  await disk.files.makeDirectory(HOME);
  await disk.files.syncDirectory('/');
  await contents(disk.files, random);
  // As a session does before it tells anyone.
  await disk.files.syncDirectory(HOME);
  return disk;
}

/** Opens, writes, zeros and flushes, some of it at once, and closes; or so far as the process lives. */
async function use(files: FileSystem, random: () => number, history: WriteHistory): Promise<void> {
  const options = random() < 0.5 ? { recentLengthMax: 100 } : {};
  const disk = await open(files, random, options);
  try {
    await actTogether(disk, random, history);
  } finally {
    const closed = history.flush();
    await disk[Symbol.asyncDispose]();
    closed();
  }
}

async function actTogether(disk: WritableBlockDevice, random: () => number, history: WriteHistory) {
  const turns = 2 + below(random, 5);
  for (let turn = 0; turn < turns; turn++) {
    const burst = Array.from({ length: 1 + below(random, 4) }, () => act(disk, random, history));
    const results = await Promise.allSettled(burst);
    const failed = results.find((it) => it.status === 'rejected');
    if (failed) throw failed.reason;
  }
}

async function act(disk: WritableBlockDevice, random: () => number, history: WriteHistory) {
  const kind = random();
  if (kind < 0.2) {
    const answered = history.flush();
    await disk.flush();
    answered();
    return;
  }
  const durable = random() < 0.1;
  const durability = durable ? 'durable' : 'cached';
  const aligned = random() < 0.5;
  const offset = aligned ? below(random, 24) * PAGE : below(random, SIZE);
  const long = below(random, 5 * PAGE) + 1;
  const length = Math.min(aligned ? Math.ceil(long / PAGE) * PAGE : long, SIZE - offset);
  const value = kind < 0.5 ? 0 : 1 + below(random, 250);
  const answered = history.write({ offset, length, value, durable });
  if (value === 0) await disk.zero(offset, length, durability);
  else await disk.write(new Uint8Array(length).fill(value), offset, durability);
  answered();
}

async function contents(files: FileSystem, random: () => number): Promise<Uint8Array> {
  await using disk = await open(files, random);
  return await readAll(disk);
}

/** Uses a new overlay, ends it at every call in turn, and looks at what is there. */
async function endingAtEveryCall(
  loss: Loss,
  look: (disk: CrashingFs, history: WriteHistory, where: string) => Promise<void>,
) {
  for (let seed = 1; seed <= SEEDS * 6; seed++) {
    const initial = await made(seeded(0));
    const whole = initial.copy(seeded(seed));
    const history = writeHistory(baseContents());
    await use(whole.files, seeded(seed), history);
    history.check(await contents(whole.files, seeded(1)), 'nothing answered', `seed=${seed}`);
    for (let cutAt = 0; cutAt <= whole.calls(); cutAt++) {
      const disk = initial.copy(seeded(seed * 1000 + cutAt), cutAt);
      const history = writeHistory(baseContents());
      await use(disk.files, seeded(seed), history).catch(onlyPowerCuts);
      await look(disk, history, `${loss}: seed=${seed} cutAt=${cutAt}`);
    }
  }
}

test('a process that is killed at any call loses nothing that it answered', async () => {
  await endingAtEveryCall('nothing answered', async (disk, history, where) => {
    const random = seeded(7);
    let next = disk.kill();
    // The one that takes it up is killed as well, wherever it is by then.
    for (let cutAt = 0; cutAt < 30; cutAt += 1 + below(random, 6)) {
      next = next.kill(cutAt);
      await contents(next.files, random).catch(onlyPowerCuts);
    }
    next = next.kill();
    const last = await open(next.files, random);
    history.check(await readAll(last), 'nothing answered', where);
    const after = await contents(next.reboot().files, random);
    history.check(after, 'unflushed', `${where}, and then a power cut`);
  });
});

test('a power cut at any call leaves each page as of the last flush or newer', async () => {
  await endingAtEveryCall('unflushed', async (disk, history, where) => {
    const random = seeded(7);
    const { files } = disk.reboot();
    const found = await contents(files, random);
    history.check(found, 'unflushed', where);
    deepEqual(await contents(files, random), found, 'and it stays so');
  });
});

test('what was flushed survives processes that die and power cuts, in any order', async () => {
  for (let seed = 1; seed <= SEEDS * 60; seed++) {
    const random = seeded(seed);
    let disk = await made(random);
    let history = writeHistory(baseContents());
    for (let life = 0; life < 8; life++) {
      const where = `seed=${seed} life=${life}`;
      const cutAt = below(random, 120);
      if (random() < 0.75) {
        disk = disk.kill(cutAt);
        const killed = await use(disk.files, random, history).then(
          () => false,
          (error: unknown) => (onlyPowerCuts(error), true),
        );
        if (!killed) continue;
        disk = disk.kill();
        const flushed = history.flush();
        history.check(await contents(disk.files, random), 'nothing answered', where);
        flushed();
      } else {
        disk = disk.reboot();
        const found = await contents(disk.files, random);
        history.check(found, 'unflushed', where);
        // From here on that is what it is.
        history = writeHistory(found);
      }
    }
  }
});

/** Pages of one value each, by their numbers. */
async function pages(disk: WritableBlockDevice, ...numbers: readonly number[]): Promise<number[]> {
  const all = await readAll(disk);
  return numbers.map((page) => {
    const [value] = all.subarray(page * PAGE);
    ok(all.subarray(page * PAGE, (page + 1) * PAGE).every((byte) => byte === value));
    return value!;
  });
}
function writePage(disk: WritableBlockDevice, page: number, value: number): Promise<void> {
  return disk.write(new Uint8Array(PAGE).fill(value), page * PAGE, 'cached');
}

test('killed in a flush: what came after it began wins, also over what it had', async () => {
  const random = seeded(1);
  for (let cutAt = 0; cutAt < 40; cutAt++) {
    const first = await made(random);
    const never = new Promise<void>(() => {});
    const held: FileSystem = {
      ...first.files,
      async open(path, access) {
        const file = await first.files.open(path, access);
        return path.endsWith('.data') ? { ...file, sync: () => never } : file;
      },
    };
    const disk = await open(held, random);
    await writePage(disk, 3, 1);
    await disk.zero(5 * PAGE, PAGE, 'cached');
    void disk.flush();
    await disk.zero(3 * PAGE, PAGE, 'cached');
    await writePage(disk, 5, 2);
    const second = first.kill(cutAt);
    await contents(second.files, random).catch(onlyPowerCuts);
    await using after = await open(second.kill().files, random);
    deepEqual(await pages(after, 3, 5, 6), [0, 2, BASE_VALUE], `cutAt=${cutAt}`);
  }
});

test('what was taken up is durable once the disk is open', async () => {
  // Nothing survives that was not synced.
  const first = await made(() => 0);
  const disk = await open(first.files, seeded(1));
  await writePage(disk, 3, 1);
  await disk.zero(5 * PAGE, PAGE, 'cached');
  const second = first.kill();
  await open(second.files, seeded(1));
  await using after = await open(second.reboot().files, seeded(1));
  deepEqual(await pages(after, 3, 5), [1, 0]);
});

const RECENT = `${HOME}/vda.recent-0`;

/** An overlay beside which someone has left `bytes`, as recent writes. */
async function withRecent(bytes: (bootId: string) => Uint8Array): Promise<FileSystem> {
  const { files } = await made(seeded(1));
  await using file = await files.create(RECENT);
  await file.write(bytes(await files.bootId()), 0);
  return files;
}
const OTHER_BOOT = '935b226a-9621-478c-93eb-f96bbc331fea';
const THREE = encodeOverlayRecord([{ first: 3, count: 1, state: 'zero' }]);
const FOUR = encodeOverlayRecord([{ first: 4, count: 1, state: 'zero' }]);

test('recent writes of another boot are ignored, and removed', async () => {
  for (const isSame of [true, false]) {
    const files = await withRecent((bootId) => {
      const head = encodeRecentHeader({ generation: 1, bootId: isSame ? bootId : OTHER_BOOT });
      return Buffer.concat([head, THREE]);
    });
    await using disk = await open(files, seeded(1));
    deepEqual(await pages(disk, 3, 4), [isSame ? 0 : BASE_VALUE, BASE_VALUE]);
    equal((await files.stat(RECENT))!.size, 0, 'begun again');
  }
});

test('recent writes end where a record is torn or cannot be', async () => {
  const beyond = encodeOverlayRecord([{ first: 25, count: 1, state: 'zero' }]);
  const damaged = FOUR.slice();
  damaged[15]! ^= 1;
  const torn = Array.from(FOUR, (_, length) => FOUR.subarray(0, length));
  for (const last of [...torn, damaged, Buffer.concat([beyond, FOUR])]) {
    const files = await withRecent((bootId) =>
      Buffer.concat([encodeRecentHeader({ generation: 1, bootId }), THREE, last]),
    );
    await using disk = await open(files, seeded(1));
    deepEqual(await pages(disk, 3, 4), [0, BASE_VALUE]);
  }
});

test('recent writes that are damaged before their end are reported, and stay', async () => {
  const damaged = FOUR.slice();
  damaged[15]! ^= 1;
  const files = await withRecent((bootId) =>
    Buffer.concat([encodeRecentHeader({ generation: 1, bootId }), damaged, THREE]),
  );
  await rejects(open(files, seeded(1)), {
    code: 'CORRUPT',
    message: /recent-0 is damaged at byte/,
  });
  ok(await files.stat(RECENT));
});

test('recent writes that are none are ignored; those of a later release are refused', async () => {
  for (let length = 0; length < 56; length++) {
    const files = await withRecent((bootId) =>
      encodeRecentHeader({ generation: 1, bootId }).subarray(0, length),
    );
    await contents(files, seeded(1));
  }
  const files = await withRecent((bootId) => {
    const head = encodeRecentHeader({ generation: 1, bootId });
    head[4] = 2;
    return head;
  });
  await rejects(open(files, seeded(1)), { code: 'CORRUPT', message: /version 2/ });
  ok(await files.stat(RECENT));
});

test('recent writes without an overlay are of another one', async () => {
  const files = await withRecent((bootId) =>
    Buffer.concat([encodeRecentHeader({ generation: 1, bootId }), THREE]),
  );
  await files.unlink(`${HOME}/vda.map`);
  await using disk = await open(files, seeded(1));
  deepEqual(await pages(disk, 3), [BASE_VALUE]);
});

test('recent writes are bounded by automatic flushes, and gone after a close', async () => {
  const { files } = await made(seeded(1));
  {
    await using disk = await open(files, seeded(1), { recentLengthMax: 200 });
    for (let n = 0; n < 100; n++) {
      await Promise.all(
        Array.from({ length: 8 }, async (_, page) => {
          await writePage(disk, page, 1 + n);
          await disk.zero(page * PAGE, PAGE, 'cached');
        }),
      );
      for (const name of ['vda.recent-0', 'vda.recent-1']) {
        const { size } = (await files.stat(`${HOME}/${name}`))!;
        ok(size <= 200 + 8 * THREE.length, `${name}: ${size}`);
      }
    }
    ok((await files.stat(`${HOME}/vda.map`))!.size > 1000);
  }
  deepEqual(await files.list(HOME), ['vda.data', 'vda.map']);
});

/** Fails every call of `operation` on a file with that ending, once `isFailing`. */
function failingAt(inner: FileSystem, operation: string, ending: string) {
  const state = { isFailing: false };
  const files = faultyFs(inner, (it, path) =>
    state.isFailing && it === operation && path.endsWith(ending) ? broken(path) : undefined,
  );
  return { files, fail: (isFailing = true) => void (state.isFailing = isFailing) };
}

test('after a failed sync of the data the next process goes on from the last flush', async () => {
  const first = await made(seeded(1));
  const { files, fail } = failingAt(first.files, 'sync', '.data');
  const disk = await open(files, seeded(1));
  await writePage(disk, 3, 1);
  await disk.flush();
  await writePage(disk, 4, 2);
  fail();
  await rejects(disk.flush(), { code: 'IO' });
  await rejects(writePage(disk, 5, 3), { code: 'IO' });
  await using after = await open(first.kill().files, seeded(1));
  deepEqual(await pages(after, 3, 4, 5), [1, BASE_VALUE, BASE_VALUE]);
});

test('a failed sync while recent writes are taken up is final for them', async () => {
  const first = await made(seeded(1));
  const disk = await open(first.files, seeded(1));
  await writePage(disk, 3, 1);
  await disk.flush();
  await writePage(disk, 4, 2);
  const second = first.kill();
  const { files, fail } = failingAt(second.files, 'sync', '.data');
  fail();
  await rejects(open(files, seeded(1)), { code: 'IO' });
  fail(false);
  await using after = await open(files, seeded(1));
  deepEqual(await pages(after, 3, 4), [1, BASE_VALUE]);
});

test('after a failed sync of the log nothing is lost that was answered', async () => {
  const first = await made(seeded(1));
  const { files, fail } = failingAt(first.files, 'sync', '.map');
  const disk = await open(files, seeded(1));
  await writePage(disk, 4, 2);
  fail();
  await rejects(disk.flush(), { code: 'IO' });
  await using after = await open(first.kill().files, seeded(1));
  deepEqual(await pages(after, 4), [2]);
});

test('a write that cannot be remembered has not been', async () => {
  const first = await made(seeded(1));
  const { files, fail } = failingAt(first.files, 'write', '.recent-0');
  const disk = await open(files, seeded(1));
  await writePage(disk, 3, 1);
  fail();
  await rejects(writePage(disk, 4, 2), { name: 'BlockError', code: 'IO' });
  deepEqual(await pages(disk, 3, 4), [1, BASE_VALUE]);
  await writePage(disk, 3, 4);
  fail(false);
  await writePage(disk, 5, 3);
  await using after = await open(first.kill().files, seeded(1));
  deepEqual(await pages(after, 3, 4, 5), [4, BASE_VALUE, 3]);
});
