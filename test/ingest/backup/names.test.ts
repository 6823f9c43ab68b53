import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { listPoints } from '../../../src/catalog/points.ts';
import { publishPoint } from '../../../src/catalog/publication.ts';
import { storeSources } from '../../../src/ingest/backup/backup.ts';
import {
  machineWriting,
  type MachineDisk,
  storeMachine,
} from '../../../src/ingest/backup/store-machine.ts';
import { lockStore } from '../../../src/store/directory/store-lock.ts';
import { inlineEncoder } from '../../../src/store/write/encoder.ts';
import { CUTTING_DEFAULT } from '../../../src/store/write/chunker.ts';
import { HOSTILE_NAMES } from '../../support/hostile-texts.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, simulatedWriter } from '../../support/store.ts';

async function place() {
  const { store, set } = await newStore(simulatedWorld());
  const stack = new AsyncDisposableStack();
  const writer = stack.use(await simulatedWriter(store, set));
  const { keys } = set;
  const options = { keys, cutting: CUTTING_DEFAULT, random: store.random, writer };
  const encoder = stack.use(inlineEncoder(options));
  const writing = machineWriting(store, { set, writer, encoder });
  const source = (name: string) => ({
    ...{ name, where: 'memory', sectorSize: undefined },
    device: memoryDevice(noise(2 ** 16, 1)),
  });
  const nothingStored = async (): Promise<void> => {
    equal(writer.stats.storedBytes, 0);
    const { points, damaged } = await listPoints(store, 'set', keys);
    deepEqual([points, damaged], [[], []]);
  };
  return {
    ...{ store, set, writing, source, nothingStored },
    async backUp(names: readonly string[], machine = 'vm') {
      const sources = names.map(source);
      return await storeSources(store, { set, machine, onEvent() {} }, { ...writing, sources });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

test('names that could not be read back are refused before anything is stored', async () => {
  await using it = await place();
  for (const name of HOSTILE_NAMES) {
    await rejects(it.backUp(['vda', name]), { code: 'BAD_NAME' });
    await rejects(it.backUp(['vda'], name), { code: 'BAD_NAME' });
  }
  await rejects(it.backUp(['vda', 'vdb', 'vda']), /two disks have the same name in vda, vdb, vda/);
  const many = Array.from({ length: 257 }, (_, n) => `vd${n}`);
  await rejects(it.backUp(many), /more than 256 disks/);
  await it.nothingStored();
  equal((await it.backUp(many.slice(1))).disks.length, 256);
});

test('disks that come one after the other, and files, are refused by name too', async () => {
  await using it = await place();
  const { store, writing } = it;
  const asked: string[] = [];
  async function* disksOf(names: readonly string[]): AsyncGenerator<MachineDisk> {
    for (const name of names) {
      asked.push(name);
      const { device, where: from } = it.source(name);
      yield { name, device, from, base: undefined, scope: { kind: 'all' }, rewritten: 'all' };
    }
  }
  const store1 = (names: readonly string[], files: readonly string[]) =>
    storeMachine(store, writing, {
      ...{ machine: 'vm', parent: undefined, origin: 'backup', known: undefined },
      ...{ disks: disksOf(names), onProgress() {}, async onStored() {}, signal: undefined },
      files: files.map((name) => ({ name, kind: 'tpm-state', bytes: noise(5000, 2) })),
    });
  await rejects(store1(['../../../evil', 'vda'], []), { code: 'BAD_NAME' });
  await rejects(store1(['vda'], ['tpm', '../tpm']), { code: 'BAD_NAME' });
  await rejects(store1(['vda'], ['tpm', 'tpm']), { code: 'BAD_NAME' });
  deepEqual(asked, ['../../../evil']);
  await it.nothingStored();
  await rejects(store1(['vda', 'vda'], []), { code: 'BAD_NAME' });
  equal((await listPoints(store, 'set', it.set.keys)).points.length, 0);
});

test('a record that could not be read back is not published, and a long source does not make it so', async () => {
  const { store, set } = await newStore(simulatedWorld());
  const draft = {
    ...({ id: 'vm-1', machine: 'vm', parent: undefined, origin: 'backup' } as const),
    stats: { readBytes: 0, storedBytes: 0 },
  };
  const disk = { name: 'vda', size: 512, source: 'x', reference: undefined };
  await using _lock = await lockStore(store, 'test');
  for (const part of [
    { disks: [{ ...disk, name: '../../../evil' }] },
    { disks: [disk, disk] },
    { disks: [{ ...disk, size: -1 }] },
    { disks: [disk], run: 'x'.repeat(3 * 2 ** 20) },
  ]) {
    await rejects(publishPoint(store, set, { ...draft, ...part }), { code: 'CORRUPT' });
  }
  deepEqual(await listPoints(store, 'set', set.keys), { points: [], damaged: [] });
  // 256 disks whose texts take up to six bytes for each sign.
  const disks = Array.from({ length: 256 }, (_, n) => ({
    ...{ ...disk, name: `vd${n}` },
    source: '\u0001'.repeat(100_000),
  }));
  const point = await publishPoint(store, set, { ...draft, disks });
  deepEqual(await listPoints(store, 'set', set.keys), { points: [point], damaged: [] });
});
