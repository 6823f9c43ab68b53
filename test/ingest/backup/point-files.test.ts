import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { fileOfKind, readMachine, readPointFile } from '../../../src/catalog/point-files.ts';
import { readPoint } from '../../../src/catalog/points.ts';
import {
  type Consistency,
  encodeMachine,
  type Tracking,
} from '../../../src/formats/store/catalog/machine.ts';
import type { NewFile } from '../../../src/ingest/backup/store-machine.ts';
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
