import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { BlockError } from '../../../src/block/block-error.ts';
import { CatalogError } from '../../../src/catalog/catalog-error.ts';
import {
  fileOfKind,
  isLost,
  readMachine,
  readPointFile,
} from '../../../src/catalog/point-files.ts';
import { readPoint } from '../../../src/catalog/points.ts';
import {
  type Consistency,
  encodeMachine,
  fileLengthMax,
  type Tracking,
} from '../../../src/formats/store/catalog/machine.ts';
import type { NewFile } from '../../../src/ingest/backup/store-machine.ts';
import { machineOf } from '../../../src/sessions/guest/read-machine.ts';
import type { Store } from '../../../src/store/directory/store.ts';
import { StoreError } from '../../../src/store/packs/store-error.ts';
import { MACHINE } from '../../support/machine-description.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../../support/store.ts';

const PASSPHRASE = 'correct horse';
const SECRET = '<graphics type="vnc" passwd="geheim"/>';
const DISK = noise(100_000, 1).slice(0, 98_304);

function described(files: readonly NewFile[] = []): readonly NewFile[] {
  return [
    { name: 'machine.json', kind: 'description', bytes: encodeMachine(MACHINE) },
    { name: 'definition.xml', kind: 'definition', bytes: Buffer.from(SECRET) },
    ...files,
  ];
}

test('a machine and its files are read back to the byte, whatever their lengths', async () => {
  const { store, set } = await newStore(simulatedWorld(), { passphrase: PASSPHRASE });
  const contents = new Map([
    ['empty', new Uint8Array(0)],
    ['one', Uint8Array.of(7)],
    ['zeros', new Uint8Array(540_672)],
    ['odd', noise(2 * 2 ** 20 + 4097, 3)],
  ]);
  const files = [...contents].map(([name, bytes]) => ({ name, kind: 'tpm-state', bytes }) as const);
  const consistency: Consistency = { asked: 'file-system', got: 'crash', why: 'no agent' };
  const tracking: Tracking = { kind: 'libvirt', checkpoint: 'holdfast-1' };
  const notes = { files: described(files), consistency, run: 'run-1', tracking };
  const { id } = await storePoint(store, set, DISK, { notes, id: 'vm-20261129T000000Z-000001' });
  equal(id, 'vm-20261129T000000Z-000001');
  const point = await readPoint(store, set, id);
  deepEqual(
    { consistency: point.consistency, run: point.run, tracking: point.tracking },
    { consistency, run: 'run-1', tracking },
  );
  deepEqual(await readMachine(store, set, point), MACHINE);
  for (const file of point.files!.slice(2)) {
    const bytes = await readPointFile(store, set, point, file);
    equal(Buffer.compare(bytes, contents.get(file.name)!), 0, file.name);
    contents.delete(file.name);
  }
  equal(contents.size, 0);
});

test('files that have not changed are not stored again', async () => {
  const { store, set } = await newStore(simulatedWorld(), { passphrase: PASSPHRASE });
  const nvram = { name: 'nvram.fd', kind: 'firmware-vars', bytes: noise(540_672, 4) } as const;
  const notes = { files: described([nvram]) };
  const first = await storePoint(store, set, DISK, { notes });
  const second = await storePoint(store, set, DISK, { notes });
  equal(second.stats.storedBytes, 0);
  deepEqual(second.files, first.files);
});

test('what may be secret about a machine is not in the store in the clear', async () => {
  const world = simulatedWorld();
  const { store, set } = await newStore(world, { passphrase: PASSPHRASE });
  const point = await storePoint(store, set, DISK, { notes: { files: described() } });
  const paths: string[] = [];
  const walk = async (directory: string): Promise<void> => {
    for (const name of await world.files.list(directory)) {
      const path = `${directory}/${name}`;
      if ((await world.files.stat(path))?.kind === 'directory') await walk(path);
      else paths.push(path);
    }
  };
  await walk(store.directory);
  equal(paths.length > 3, true);
  for (const path of paths) {
    const text = Buffer.from(await world.files.readFile(path, 2 ** 26)).toString('latin1');
    for (const it of ['geheim', MACHINE.ids.uuid]) equal(text.includes(it), false, path);
  }
  const definition = fileOfKind(point, 'definition')!;
  equal(Buffer.from(await readPointFile(store, set, point, definition)).toString(), SECRET);
});

/** A store that reads no pack. */
function unread(store: Store): Store {
  const read = (): never => {
    throw new Error('it is read');
  };
  return { ...store, packs: { ...store.packs, read } };
}

test('a file that is larger than any may be is refused, when it is stored and when it is read', async () => {
  const { store, set } = await newStore(simulatedWorld());
  const bytes = new Uint8Array(128 * 2 ** 20 + 1);
  const files = [{ name: 'nvram.fd', kind: 'firmware-vars', bytes }] as const;
  await rejects(storePoint(store, set, DISK, { notes: { files } }), {
    code: 'UNSUPPORTED',
    message: /nvram\.fd of the machine has 128/,
  });
  const forged = { name: 'nvram.fd', kind: 'firmware-vars', size: 2 ** 40, reference: undefined };
  await rejects(readPointFile(store, set, { id: 'vm-1' }, forged), { code: 'CORRUPT' });
});

test('each kind of file has one limit, and more than that is refused before any of it is read', async () => {
  const { store, set } = await newStore(simulatedWorld());
  const bare = await storePoint(store, set, DISK);
  const reference = bare.disks[0]!.reference!;
  for (const [kind, most] of [
    ['description', 2 ** 20],
    ['definition', 2 ** 22],
    ['firmware-vars', 2 ** 27],
    ['tpm-state', 2 ** 27],
    ['of a later release', 2 ** 27],
  ] as const) {
    equal(fileLengthMax(kind), most);
    const file = { name: 'x', kind, size: most + 1, reference };
    const message = /vm-.*\/x: a file of .*, more than/;
    const refusal = { code: 'CORRUPT', message };
    const point = { ...bare, files: [file] };
    await rejects(readPointFile(unread(store), set, point, file), refusal);
    if (kind === 'description') await rejects(readMachine(unread(store), set, point), refusal);
  }
  const long = { name: 'machine.json', kind: 'description', bytes: new Uint8Array(2 ** 20 + 1) };
  const notes = { files: [long as NewFile] };
  await rejects(storePoint(store, set, DISK, { notes }), { code: 'UNSUPPORTED' });
});

test('a machine is lost where the store has lost it, not where its disk fails or the reader was closed', async () => {
  const { store, set } = await newStore(simulatedWorld());
  const point = await storePoint(store, set, DISK, { notes: { files: described() } });
  const told: string[] = [];
  const read = (failure: Error) => {
    const failing = { ...store.packs, read: async () => Promise.reject(failure) };
    return machineOf({ ...store, packs: failing }, { set, point }, (what) => void told.push(what));
  };
  for (const code of ['IO', 'CLOSED'] as const) {
    await rejects(read(new StoreError(code, 'not now')), { code: 'IO' });
    deepEqual(told, []);
  }
  for (const code of ['MISSING', 'CORRUPT'] as const) {
    equal((await read(new StoreError(code, 'gone'))).machine, undefined);
    equal(told.splice(0).length, 1);
  }
  for (const code of ['CLOSED', 'IO', 'TIMEOUT'] as const) {
    equal(isLost(new BlockError(code, '')), false);
  }
  for (const code of ['NOT_FOUND', 'WRONG_KEY'] as const) {
    equal(isLost(new CatalogError(code, '')), false);
  }
  equal(isLost(new BlockError('CORRUPT', '')), true);
});

test('a recovery point without a machine says so, and a description that is not one is named', async () => {
  const { store, set } = await newStore(simulatedWorld());
  const bare = await storePoint(store, set, DISK);
  equal(await readMachine(store, set, bare), undefined);
  const bytes = Buffer.from('{"format": "holdfast-machine", "version": 2}');
  const files = [{ name: 'machine.json', kind: 'description', bytes }] as const;
  const later = await storePoint(store, set, DISK, { notes: { files } });
  await rejects(readMachine(store, set, later), {
    code: 'CORRUPT',
    message: /machine\.json: holdfast-machine of version 2, not 1/,
  });
});
