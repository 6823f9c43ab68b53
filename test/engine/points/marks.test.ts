import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { openBox } from '../../../src/box/box.ts';
import { newPointId, pointPath } from '../../../src/catalog/points.ts';
import { publishPoint } from '../../../src/catalog/publication.ts';
import type { Engine } from '../../../src/engine/base/engine.ts';
import { held, keep, lockPoint, mark, released } from '../../../src/engine/points/marks.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { newStore } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

test('a point whose record is damaged is held and released, so that it can be forgotten, and not locked', async () => {
  const world = realWorld();
  const home = temporaryDirectory();
  const { store, set } = await newStore(world, { home: join(home, 'store') });
  const box = openBox(world, { directory: join(home, 'box'), credentials: undefined });
  const engine = { store, box, memory: box.of(store) } as unknown as Engine;
  const { id } = await publishPoint(store, set, {
    ...{ id: newPointId(world, 'vm'), machine: 'vm', parent: undefined, origin: 'backup' },
    ...{ disks: [], stats: { readBytes: 0, storedBytes: 0 } },
  });
  const secrets = async () => undefined;
  const hold = (name: string) =>
    keep(engine, id, secrets, (before) => held(before, name, new Date()));
  equal((await hold('legal')).unreadable, undefined);
  await putDurably(store.files, pointPath(store, { set: 'set', id }), new Uint8Array(40));
  const both = await hold('audit');
  deepEqual(
    both.holds.map(({ name }) => name),
    ['legal', 'audit'],
  );
  match(both.unreadable!, /\.point/);
  await mark(engine, id, secrets, (before) => released(before, 'legal'));
  deepEqual((await mark(engine, id, secrets, (before) => released(before, 'audit'))).holds, []);
  const until = new Date(Date.now() + 2 * 86_400_000).toISOString().slice(0, 'YYYY-MM-DD'.length);
  await rejects(lockPoint(engine, { point: id, until }, secrets), { code: 'CORRUPT' });
});
