import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { keepCapacity, knownCapacity } from '../../../src/box/capacity.ts';
import { type CapacityOptions, measureCapacity } from '../../../src/engine/verify/capacity.ts';
import type { CapacityRecord } from '../../../src/formats/store/service/capacity.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

/** A box on which clones boot as `boot` says, given how many boot at once. */
async function measured(
  { room = 100, most = 100 }: Partial<CapacityOptions>,
  boot: (clones: number) => {
    readonly isUp?: boolean;
    readonly bootMs?: number;
    readonly ms?: number;
  },
) {
  let now = 0;
  const found = await measureCapacity({
    ...{ room, most, onStep() {} },
    async boot(onRead) {
      now++;
      await new Promise((resolve) => setImmediate(resolve));
      const { isUp = true, bootMs = 8000, ms = 1 } = boot(now);
      for (let n = 0; n < 1000; n++) onRead(n < 970 ? 0.1 : ms);
      await new Promise((resolve) => setImmediate(resolve));
      now--;
      return { isUp, state: isUp ? 'works' : 'panic', bootMs, readBytes: 1000 };
    },
  });
  return { ...found, tried: found.steps.map(({ clones }) => clones) };
}

test('clones are booted at once, more each time, as long as there is room and more are wanted', async () => {
  const memory = await measured({ room: 5 }, () => ({}));
  deepEqual([memory.carries, memory.limit, memory.tried], [5, 'memory', [1, 2, 3, 4, 5]]);
  deepEqual(memory.steps[1], {
    ...{ clones: 2, up: 2, bootMs: 8000, readP99Us: 1000, readBytes: 2000 },
  });
  const asked = await measured({ most: 8 }, () => ({}));
  deepEqual([asked.carries, asked.limit, asked.tried], [8, 'asked', [1, 2, 3, 4, 6, 8]]);
});

test('a clone that does not come up, slow boots and slow reads are limits, and do not count', async () => {
  const gone = await measured({}, (clones) => ({ isUp: clones < 4 }));
  deepEqual([gone.carries, gone.limit, gone.steps.at(-1)?.up], [3, 'boot', 0]);
  const slow = await measured({}, (clones) => ({ bootMs: clones * 5000 }));
  deepEqual([slow.carries, slow.limit], [3, 'boot']);
  const reads = await measured({}, (clones) => ({ ms: clones < 3 ? 50 : 150 }));
  deepEqual([reads.carries, reads.limit, reads.steps.at(-1)?.readP99Us], [2, 'reads', 150_000]);
  const noRoom = await measured({ room: 0 }, () => ({}));
  deepEqual([noRoom.carries, noRoom.limit, noRoom.tried], [0, 'memory', []]);
});

test('a machine that does not come up alone says nothing of the box: there is no figure', async () => {
  await rejects(
    measured({}, () => ({ isUp: false })),
    {
      code: 'UNSUPPORTED',
      message: /even alone \(panic\): nothing was measured.*"holdfast verify POINT"/,
    },
  );
});

test('what was measured is known until it is measured again; a damaged record counts as none', async () => {
  const world = realWorld();
  const directory = `${temporaryDirectory()}/box`;
  equal(await knownCapacity(world, directory), undefined);
  const record: CapacityRecord = {
    ...{ measured: '2026-11-30T02:00:00Z', release: '1', set: 'a', machine: 'm', point: 'm-1' },
    ...{ accelerator: 'tcg', processors: 2, memoryBytes: 2 ** 28, carries: 1, limit: 'memory' },
    steps: [{ clones: 1, up: 1, bootMs: 8000, readP99Us: 900, readBytes: 5 }],
  };
  await keepCapacity(world, directory, record);
  deepEqual(await knownCapacity(world, directory), record);
  await keepCapacity(world, directory, { ...record, carries: 2 });
  equal((await knownCapacity(world, directory))?.carries, 2);
  const path = `${directory}/capacity.json`;
  await using file = await world.files.open(path, 'write');
  await file.write(Buffer.from('?'), 20);
  equal(await knownCapacity(world, directory), undefined);
  ok(await world.files.stat(path));
});
