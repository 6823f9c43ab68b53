import { equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { foreseenFlush } from '../../../../src/block/sealed/log/foreseen-flush.ts';
import { turnOfLoop } from '../../../../src/lib/turn-of-loop.ts';
import { below, seeded } from '../../../support/random.ts';
import { bytesOf } from '../oracle.ts';
import { heldSyncs } from '../held-syncs.ts';
import { open, PAGE, prepared, rig } from '../rig.ts';

/** More than are needed for it to be sure. */
const LEARNED = 12;

/** A log whose flushes take some turns, and a guest that writes and flushes one after the other. */
function world() {
  const state = { written: 0, durable: 0, flushes: 0, failure: undefined as Error | undefined };
  const guests = foreseenFlush(async () => {
    state.flushes++;
    const until = state.written;
    for (let turn = 0; turn < 3; turn++) await turnOfLoop();
    if (state.failure) throw state.failure;
    state.durable = Math.max(state.durable, until);
  });
  function write(): void {
    guests.begun();
    state.written++;
    guests.ended();
  }
  async function learn(): Promise<void> {
    for (let n = 0; n < LEARNED; n++) {
      write();
      await guests.flush();
    }
  }
  return { state, guests, write, learn };
}

test('a flush that is foreseen begins with the answer to the write, and is shared', async () => {
  const { state, guests, write, learn } = world();
  await learn();
  equal(state.flushes, LEARNED, 'one for each request');
  write();
  for (let turn = 0; turn < 6; turn++) await turnOfLoop();
  equal(state.durable, LEARNED + 1, 'before it was requested');
  await guests.flush();
  equal(state.flushes, LEARNED + 1);
});

test('after a wrong guess nothing is foreseen until the guest has flushed each write for a while', async () => {
  const { state, guests, write, learn } = world();
  await learn();
  for (let n = 0; n < 50; n++) {
    write();
    await turnOfLoop();
  }
  equal(state.flushes, LEARNED + 1, 'a single sync too many');
  await guests.flush();
  equal(state.durable, state.written);
});

test('a flush never shares one that began before a write, whatever the order', async () => {
  const random = seeded(7);
  const { state, guests, write, learn } = world();
  let shared = 0;
  for (let round = 0; round < 200; round++) {
    await learn();
    const open = below(random, 3);
    for (let n = 0; n < open; n++) guests.begun();
    for (let n = below(random, 3); n > 0; n--) {
      write();
      for (let turn = below(random, 5); turn > 0; turn--) await turnOfLoop();
    }
    for (let n = 0; n < open; n++) {
      state.written++;
      guests.ended();
      for (let turn = below(random, 3); turn > 0; turn--) await turnOfLoop();
    }
    const [acknowledged, before] = [state.written, state.flushes];
    await guests.flush();
    ok(state.durable >= acknowledged, `round ${round}`);
    if (state.flushes === before) shared++;
  }
  ok(shared > 10, `${shared} were shared`);
});

test('a write under way lets nothing be foreseen', async () => {
  const { state, guests, write, learn } = world();
  await learn();
  guests.begun();
  write();
  for (let turn = 0; turn < 6; turn++) await turnOfLoop();
  equal(state.flushes, LEARNED);
});

test('a foreseen flush that fails is the failure of the flush that shares it', async () => {
  const { state, guests, write, learn } = world();
  await learn();
  state.failure = new Error('broken');
  write();
  await turnOfLoop();
  await rejects(guests.flush(), { message: 'broken' });
  write();
  for (let turn = 0; turn < 6; turn++) await turnOfLoop();
  await rejects(guests.flush(), { message: 'broken' }, 'also the next one');
});

test('an overlay whose guest flushes each write syncs once for each', async () => {
  const it = rig(seeded(3), 1, { size: 400 * PAGE });
  const disk = await prepared(it);
  const { files, state } = heldSyncs(disk.files);
  const overlay = await open(files, it);
  state.syncs = 0;
  for (let n = 0; n < 100; n++) {
    await overlay.write(bytesOf(n + 1, n * PAGE, PAGE), n * PAGE, 'cached');
    await turnOfLoop();
    await overlay.flush();
  }
  ok(state.syncs <= 110, `${state.syncs} syncs`);
  const again = await open(disk.reboot().files, it);
  for (let n = 0; n < 100; n++) {
    const into = new Uint8Array(PAGE);
    await again.read(into, n * PAGE);
    ok(Buffer.from(into).equals(bytesOf(n + 1, n * PAGE, PAGE)), `page ${n}`);
  }
  await again[Symbol.asyncDispose]();
});
