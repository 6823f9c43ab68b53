import { deepEqual, rejects } from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path/posix';
import { test } from 'tap';
import type { Engine } from '../../../src/engine/base/engine.ts';
import { checkDirectories } from '../../../src/engine/points/check-records.ts';
import {
  startSession,
  discardSession,
  resumeSession,
} from '../../../src/sessions/state/held-session.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { lockStore } from '../../../src/store/directory/store-lock.ts';
import { realFileSystem } from '../../../src/sys/files/real-file-system.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const MiB = 2 ** 20;

/** A store with a point and a session, and files that are not Holdfast's. */
async function place() {
  const root = temporaryDirectory();
  const home = join(root, 'store');
  const world = simulatedWorld(realFileSystem());
  const { set, store } = await newStore(world, { home });
  const engine = { world, store };
  const backUp = () => storePoint(store, set, noise(2 * MiB, 1), { packLength: MiB });
  const point = await backUp();
  const start = async (): Promise<string> => {
    const more = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;
    await using session = await startSession(engine.store, point, more);
    return session.record.id;
  };
  const id = await start();
  const victim = join(root, 'victim');
  mkdirSync(victim);
  const wanted = join(victim, 'wanted');
  writeFileSync(wanted, 'needed elsewhere');
  return {
    ...{ home, engine, id, backUp, start, wanted, victim },
    found: () => [readdirSync(victim), readFileSync(wanted, 'latin1')],
  };
}

test('where a link leads nothing of the store is made, changed or removed', async () => {
  const it = await place();
  const { engine, id, victim, wanted } = it;
  const before = it.found();
  const directories = [
    'packs/00001',
    'wanted',
    'jobs',
    'block-index',
    'sets/other',
    'sets/set/heads2',
    'copies/packs/00001',
    'copies/sets/set/other',
    'sessions/vm-other',
  ];
  for (const path of directories) {
    const at = join(it.home, path);
    symlinkSync(victim, at);
    const refused = { code: 'CORRUPT', message: /is a symbolic link.*Remove the link/ };
    await rejects(it.backUp(), refused, path);
    await rejects(it.start(), refused, path);
    await rejects(resumeSession(engine.store, id, { tls: false }), refused, path);
    await rejects(discardSession(engine.store, id), refused, path);
    const problems: string[] = [];
    await checkDirectories(
      { store: engine.store } as Engine,
      ({ where }) => void problems.push(where),
    );
    deepEqual(problems, [at]);
    unlinkSync(at);
    deepEqual(it.found(), before, path);
  }
  for (const [path, code] of [
    ['lock', 'CORRUPT'],
    ['packs/00000/00000099.pack.open', 'INVALID'],
  ] as const) {
    const at = join(it.home, path);
    if (existsSync(at)) unlinkSync(at);
    symlinkSync(wanted, at);
    await rejects(it.backUp(), { code, message: new RegExp(basename(at)) }, path);
    unlinkSync(at);
    deepEqual(it.found(), before, path);
  }
  const held = join(it.home, 'sessions', id, 'lock');
  unlinkSync(held);
  symlinkSync(wanted, held);
  await rejects(resumeSession(engine.store, id, { tls: false }), {
    code: 'INVALID',
    message: /lock/,
  });
  unlinkSync(held);
  deepEqual(it.found(), before);
  await it.backUp();
});

test('a mark of what is lost is not made where a link leads', async () => {
  const it = await place();
  const before = it.found();
  symlinkSync(it.victim, join(it.home, 'wanted'));
  await using store = await openStore(it.engine.world, it.home);
  await store.packs.want({ pack: 1, offset: 32, digest: noise(32, 1) });
  deepEqual(it.found(), before);
});

test('a store may be where a link leads', async () => {
  const it = await place();
  const link = `${it.home}-link`;
  symlinkSync(it.home, link);
  await using store = await openStore(it.engine.world, link);
  await using _lock = await lockStore(store, 'test');
});
