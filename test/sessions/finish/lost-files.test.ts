import { deepEqual, equal, ok } from 'node:assert/strict';
import { join } from 'node:path/posix';
import { test } from 'tap';
import { machineWriting } from '../../../src/ingest/backup/store-machine.ts';
import { keepHeld } from '../../../src/sessions/finish/keep-session.ts';
import { startSession } from '../../../src/sessions/state/held-session.ts';
import { packPath } from '../../../src/store/packs/pack-path.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { CUTTING_DEFAULT } from '../../../src/store/write/chunker.ts';
import { inlineEncoder } from '../../../src/store/write/encoder.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, simulatedWriter, storePoint } from '../../support/store.ts';

const OPTIONS = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;

test('a file of the machine that the store has lost is reported when a session is kept', async () => {
  const { store, set } = await newStore(simulatedWorld());
  const disk = noise(2 ** 20, 1);
  await storePoint(store, set, disk);
  const files = [
    { name: 'tpm-state', kind: 'tpm-state', bytes: noise(5000, 2) },
    { name: 'zeros', kind: 'firmware-vars', bytes: new Uint8Array(5000) },
  ] as const;
  // Its disk is there already: what it adds to the store are the files.
  const point = await storePoint(store, set, disk, { notes: { files } });
  const pack = point.files![0]!.reference!.pack;
  ok(point.disks[0]!.reference!.pack !== pack);
  await store.files.unlink(packPath(join(store.directory, 'packs'), pack));
  const session = await startSession(store, point, OPTIONS);
  const { record } = session;
  await using writer = await simulatedWriter(store, set);
  const { keys } = set;
  const { random } = store;
  await using encoder = inlineEncoder({ keys, cutting: CUTTING_DEFAULT, random, writer });
  await using reader = openBlockReader(store, { cacheLength: 2 ** 22 });
  const told: string[] = [];
  const kept = await keepHeld(store, record, {
    ...{ ...machineWriting(store, { set, writer, encoder }), reader },
    onDamage: (where, what) => void told.push(`${where}: ${what}`),
  });
  await session[Symbol.asyncDispose]();
  equal(told.length, 1);
  deepEqual(told[0]!.split(':')[0], `${kept}/tpm-state`);
});
