import { join } from 'node:path';
import { saveProfile } from '../../src/catalog/profiles.ts';
import { createSet, type OpenSet, unlockSet } from '../../src/catalog/sets.ts';
import { openAudit } from '../../src/engine/audit/audit.ts';
import { encodeGrowth } from '../../src/formats/store/service/growth.ts';
import { domainKeys, lockSlot } from '../../src/formats/store/catalog/key-slot.ts';
import type { PointRecord } from '../../src/formats/store/catalog/point.ts';
import { encodeSet, sealSet } from '../../src/formats/store/catalog/set-record.ts';
import { openJobFiles } from '../../src/jobs/job-files.ts';
import { machineFiles } from '../../src/sessions/guest/machine-files.ts';
import { markServed } from '../../src/sessions/state/served-sessions.ts';
import { sessionDirectory } from '../../src/sessions/state/session-files.ts';
import { sessionSpace } from '../../src/sessions/state/session-space.ts';
import { overlayOf, treeSealOf } from '../../src/sessions/state/session-overlays.ts';
import { startSession } from '../../src/sessions/state/held-session.ts';
import { openBlockReader } from '../../src/store/read/block-reader.ts';
import { manifestDisk } from '../../src/store/read/manifest-disk.ts';
import { createStore, openStore, type Store } from '../../src/store/directory/store.ts';
import { argon2id } from '../../src/sys/crypto/argon2.ts';
import { putDurably } from '../../src/sys/files/write-atomically.ts';
import type { World } from '../../src/sys/world.ts';
import { openSessionTree } from '../../src/vfs/session-tree.ts';
import { trustingMemory } from '../support/box-memory.ts';
import { noise, pattern } from '../support/random.ts';
import { FILE } from '../support/session-tree.ts';
import { storeIndexed } from '../support/store.ts';

/** A small store with all kinds of files in it, and what can be read of it. */
export interface Place {
  readonly directory: string;
  /** By the recovery point's ID. */
  readonly points: ReadonlyMap<string, Uint8Array>;
  readonly session: string;
  /** What the session's disk holds: all of it was flushed. */
  readonly disk: Uint8Array;
  /** What files beside it hold, by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** What a next backup of `vm` takes in. */
  readonly next: Uint8Array;
}

const SIZE = 2 ** 19;
export const PASSPHRASE = Buffer.from('correct horse');
/** The real parameters take 50 ms each time. */
const KDF = { memoryKiB: 64, passes: 1 } as const;

export async function makePlace(world: World, directory: string): Promise<Place> {
  await createStore(world, directory);
  await using store = await openStore(world, directory);
  const secret = await encryptedSet(store);
  const { record } = await createSet(store, 'plain', {});
  const plain = await unlockSet(record, undefined);
  const first = noise(SIZE, 1);
  const second = first.slice();
  second.set(noise(60_000, 2), 200_000);
  const other = noise(SIZE, 3);
  const points = new Map<string, Uint8Array>();
  for (const [set, contents] of [
    [secret, first],
    [secret, second],
    [plain, other],
  ] as const) {
    points.set((await storeIndexed(store, set, contents)).id, contents);
  }
  const newest = await storeIndexed(store, secret, second);
  points.set(newest.id, second);
  const session = await liveSession({ world, store, set: secret }, newest, second);
  await books(store, secret);
  const next = second.slice();
  next.set(noise(30_000, 7), 10_000);
  return { directory, points, next, ...session };
}

async function encryptedSet(store: Store): Promise<OpenSet> {
  const { record: made } = await createSet(store, 'secret', { passphrase: PASSPHRASE });
  const kdf = { ...KDF, salt: pattern(16) };
  const stretched = await argon2id(PASSPHRASE, kdf, 32);
  const dataKey = pattern(32, 9);
  const slot = lockSlot(
    dataKey,
    { kind: 'passphrase', stretched },
    { domain: made.domain, nonce: pattern(12), kdf },
  );
  const record = sealSet({ ...made, slots: [slot] }, 2, domainKeys(dataKey).record);
  for (const name of ['set.json', 'set.copy.json']) {
    await putDurably(store.files, join(store.directory, 'sets/secret', name), encodeSet(record));
  }
  return unlockSet(record, { kind: 'passphrase', passphrase: PASSPHRASE });
}

async function liveSession(
  { world, store, set }: { readonly world: World; readonly store: Store; readonly set: OpenSet },
  point: PointRecord,
  contents: Uint8Array,
) {
  const engine = { world, store };
  const options = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;
  await using session = await startSession(engine.store, point, options);
  const { record } = session;
  await using reader = openBlockReader(store, { cacheLength: 2 ** 22 });
  const root = point.disks[0]!;
  await using base = manifestDisk(reader, { name: 'vda', root, keys: set.keys });
  const space = sessionSpace(engine.store, record);
  const { begin } = session;
  const parts = { disk: record.disks[0]!, set, base, space, begin };
  const disk = contents.slice();
  {
    await using earlier = await overlayOf(engine.store, record, parts);
    disk.set(noise(3000, 19), 300_000);
    await earlier.write(noise(3000, 19), 300_000, 'durable');
  }
  // Now its segment gets a summary, and another one begins.
  await using overlay = await overlayOf(engine.store, session.record, parts);
  const files = new Map<string, Uint8Array>();
  await using tree = await openSessionTree({
    ...{ files: world.files, clock: world.clock, directory: sessionDirectory(store, record.id) },
    ...{ first: machineFiles(record), disks: new Map([['vda', overlay]]), space },
    ...{ random: world.random, seal: treeSealOf(record, set.keys) },
  });
  for (let n = 0; n < 6; n++) {
    const at = 40_960 * n + 512;
    disk.set(noise(3000, 20 + n), at);
    await overlay.write(noise(3000, 20 + n), at, 'durable');
    const name = `file${n}`;
    files.set(name, noise(1500, 40 + n));
    await tree.write(await tree.make(tree.root, name, FILE), files.get(name)!, 0, 'durable');
  }
  await markServed(engine.store, record.id, {
    tls: { kind: 'psk', path: '/etc/holdfast/keys.psk' },
  });
  return { session: record.id, disk, files };
}

/** What the service writes down. */
async function books(store: Store, set: OpenSet): Promise<void> {
  const { directory } = store;
  const ranges = [{ offset: 0, length: 65_536 }];
  await saveProfile(store, set, { machine: 'vm', disks: [{ name: 'vda', ranges }] });
  const time = '2026-11-21T01:30:00.000Z';
  const growth = encodeGrowth([{ time, usedBytes: 1, totalBytes: 2 }]);
  await putDurably(store.files, join(directory, 'growth.json'), growth);
  const audit = await openAudit(store, directory, () => {});
  const caller = { pid: 1, uid: 0, gids: [0] };
  for (let n = 0; n < 4; n++) await (await audit.begin(caller, 'set/create', { n }))('done');
  const jobs = await openJobFiles(store.files, directory, {
    memory: trustingMemory(),
    checksOf: () => 'checked',
  });
  const request = { set: 'plain', machine: 'vm', disks: [] };
  await jobs.putSchedule({
    ...{ name: 'nightly', at: '*-*-* 01:00', kind: 'backup' },
    ...{ request, created: time, last: time, paused: undefined, changed: undefined },
  });
  await jobs.putJob({
    ...{ id: 'nightly-1', kind: 'backup', request, schedule: 'nightly', created: time },
    ...{ state: 'done', canceling: undefined, failures: 0, deaths: 0, notBefore: undefined },
    ...{ started: time, ended: time, reason: undefined, result: {} },
  });
}
