import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { newPointId } from '../../src/catalog/points.ts';
import { proofsOf } from '../../src/catalog/proof-records.ts';
import { keepProof, lastProof, proofDamage } from '../../src/catalog/proofs.ts';
import { publishPoint } from '../../src/catalog/publication.ts';
import { forgetPoint } from '../../src/catalog/removal/forget-point.ts';
import { openStore } from '../../src/store/directory/store.ts';
import { crashingFs, onlyPowerCuts } from '../support/crashing-fs.ts';
import { FAILED_PROOF, PROOF } from '../support/proof-result.ts';
import { seeded } from '../support/random.ts';
import { HOME, newStore, simulatedWorld } from '../support/store.ts';

const PROOFS = `${HOME}/sets/set/proofs`;

async function withPoints(count = 1, disk = crashingFs(seeded(1))) {
  const world = simulatedWorld(disk.files);
  const { store, set } = await newStore(world, { passphrase: 'secret' });
  const publish = () =>
    publishPoint(store, set, {
      ...{ id: newPointId(world, 'web1'), machine: 'web1', parent: undefined, origin: 'backup' },
      disks: [{ name: 'vda', size: 512, source: 'x', reference: undefined }],
      stats: { readBytes: 0, storedBytes: 0 },
    });
  const points = [];
  for (let at = 0; at < count; at++) points.push(await publish());
  const files = async (): Promise<string[]> =>
    (await world.files.stat(PROOFS)) ? world.files.list(PROOFS) : [];
  return { disk, world, store, set, points, point: points[0]!, files };
}

test('the last three proofs of a point are kept, the newest first', async () => {
  const { store, set, point, files } = await withPoints();
  deepEqual(await proofsOf(store, point), []);
  equal(await lastProof(store, set, point.id), undefined);
  for (const release of ['1', '2', '3', '4']) await keepProof(store, set, point, PROOF, release);
  await keepProof(store, set, point, FAILED_PROOF, '5');
  const kept = await proofsOf(store, point);
  deepEqual(
    kept.map(({ release, verdict }) => [release, verdict]),
    [
      ['5', 'failed'],
      ['4', 'proven'],
      ['3', 'proven'],
    ],
  );
  equal((await lastProof(store, set, point.id))?.reason, 'the kernel panicked');
  equal((await files()).length, 4, 'older evidence is removed');
  deepEqual(await proofDamage(store, 'set', set.keys.record), []);
});

test('a point that is forgotten takes its proofs along, and no other', async () => {
  const { store, set, points, files } = await withPoints(2);
  for (const point of points) await keepProof(store, set, point, PROOF, '1');
  await forgetPoint(store, points[0]!);
  deepEqual(await files(), [`${points[1]!.id}.1.evidence`, `${points[1]!.id}.proof`]);
  await rejects(keepProof(store, set, points[0]!, PROOF, '1'), { code: 'NOT_FOUND' });
  equal((await files()).length, 2);
});

test('a damaged proof is found, hides nothing else, and is mended by the next one', async () => {
  const { disk, store, set, points } = await withPoints(2);
  const [one, two] = points as [(typeof points)[0], (typeof points)[0]];
  for (const point of points) await keepProof(store, set, point, PROOF, '1');
  const flip = (bytes: Uint8Array) => bytes.map((byte, at) => (at === 300 ? byte ^ 1 : byte));
  disk.damage(`${PROOFS}/${one.id}.1.evidence`, flip);
  const [problem, ...more] = await proofDamage(store, 'set', undefined);
  deepEqual(more, []);
  match(problem!.reason, new RegExp(`${one.id}.1.evidence: .*"holdfast verify ${one.id}"`));
  await rejects(lastProof(store, set, one.id), { code: 'CORRUPT' });
  await keepProof(store, set, one, FAILED_PROOF, '2');
  equal((await proofsOf(store, one)).length, 1);
  disk.damage(`${PROOFS}/${two.id}.proof`, flip);
  deepEqual(await proofsOf(store, two), []);
  equal((await proofDamage(store, 'set', undefined)).length, 1);
  await keepProof(store, set, two, PROOF, '2');
  deepEqual(await proofDamage(store, 'set', set.keys.record), []);
});

test('a power cut at any call leaves the proofs of before, or the new one too, and never damage', async () => {
  const seen = new Set<string>();
  const { disk, store, set, point } = await withPoints();
  await keepProof(store, set, point, PROOF, '1');
  for (const act of ['keep', 'forget'] as const) {
    for (let cut = 1; ; cut++) {
      const copy = disk.copy(seeded(cut), cut);
      const cutStore = await openStore(simulatedWorld(copy.files), HOME).catch(onlyPowerCuts);
      let isDone = false;
      try {
        if (!cutStore) continue;
        if (act === 'keep') await keepProof(cutStore, set, point, FAILED_PROOF, '2');
        else await forgetPoint(cutStore, point);
        isDone = true;
      } catch (error) {
        onlyPowerCuts(error);
      }
      const after = await openStore(simulatedWorld(copy.reboot().files), HOME);
      deepEqual(await proofDamage(after, 'set', set.keys.record), [], `${act} ${cut}`);
      const releases = (await proofsOf(after, point, set.keys.record)).map((it) => it.release);
      seen.add(`${act}: ${releases.join()}`);
      if (isDone && act === 'keep') deepEqual(releases, ['2', '1']);
      else ok(['1', '2,1', ''].includes(releases.join()), `${act} ${cut}: ${releases.join()}`);
      if (isDone) break;
    }
  }
  deepEqual([...seen].toSorted(), ['forget: ', 'forget: 1', 'keep: 1', 'keep: 2,1']);
});

test('what a crash left of proofs is removed with the next one of the set', async () => {
  const { world, store, set, points, files } = await withPoints(2);
  const [one, two] = points as [(typeof points)[0], (typeof points)[0]];
  for (const point of points) await keepProof(store, set, point, PROOF, '1');
  for (const name of [`${one.id}.9.evidence`, `gone-1.1.evidence`, 'gone-1.proof']) {
    await using file = await world.files.create(`${PROOFS}/${name}`);
    await file.write(Buffer.from('x'), 0);
  }
  equal((await files()).length, 7);
  await keepProof(store, set, two, PROOF, '2');
  await keepProof(store, set, one, PROOF, '2');
  deepEqual(
    (await files()).filter((name) => /gone|\.9\./.test(name)),
    [],
  );
  deepEqual(
    (await proofsOf(store, one)).map(({ number }) => number),
    [10, 1],
    'a number is never used for two proofs',
  );
});
