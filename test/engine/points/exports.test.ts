import { deepEqual, equal, rejects } from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openBox } from '../../../src/box/box.ts';
import { setNames } from '../../../src/catalog/sets.ts';
import type { Engine, SecretSource, WorkOptions } from '../../../src/engine/base/engine.ts';
import { exportToFile } from '../../../src/engine/points/exports.ts';
import { importFile } from '../../../src/engine/points/imports.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { newStore, storePoint } from '../../support/store.ts';
import { createStore, openStore } from '../../../src/store/directory/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const home = temporaryDirectory();
const world = realWorld();
const KEY = { kind: 'passphrase', passphrase: Buffer.from('horse') } as const;
const REQUEST = { set: 'set', overwrite: false } as const;

function engineOf(store: Engine['store'], name: string): Engine {
  const directory = join(home, `${name}.box`);
  const box = openBox(world, { directory, credentials: undefined });
  return { store, box, memory: box.of(store) } as unknown as Engine;
}

function working(secrets: SecretSource, report: WorkOptions['report'] = () => {}): WorkOptions {
  return { secrets, report, signal: undefined } as unknown as WorkOptions;
}

/** As a caller with a key: it is given whatever a set says of itself. */
const given = working(async () => KEY);
const none = working(async () => undefined);

/** A store with one point. */
async function source(name: string, passphrase?: string) {
  const { store, set } = await newStore(world, {
    home: join(home, name),
    ...(passphrase ? { passphrase } : {}),
  });
  const { id } = await storePoint(store, set, new Uint8Array(2 ** 20).fill(1));
  return { id, engine: engineOf(store, name), file: join(home, `${name}.export`) };
}

/** An empty one. */
async function target(name: string): Promise<Engine> {
  await createStore(world, join(home, name));
  return engineOf(await openStore(world, join(home, name)), name);
}

const importing = (file: string) => ({ file, set: undefined, as: undefined, dryRun: false });

test('with a key, a file without anything encrypted is refused', async () => {
  const { engine, file } = await source('plain');
  await exportToFile(engine, { ...REQUEST, to: file } as never, none);
  const into = await target('plain-target');
  await rejects(importFile(into, importing(file), given), {
    code: 'WRONG_KEY',
    message: /claims not to be encrypted.*Nothing was imported/,
  });
  deepEqual(await setNames(into.store), []);
  const { sets } = await importFile(into, importing(file), none);
  deepEqual(sets, [{ set: 'set', from: 'set', isNew: true, encrypted: false }]);
});

test('the key of an encrypted set imports it, and the result says that it is encrypted', async () => {
  const { engine, file } = await source('sealed', 'horse');
  await exportToFile(engine, { ...REQUEST, to: file } as never, given);
  const { sets } = await importFile(await target('sealed-target'), importing(file), given);
  deepEqual(sets, [{ set: 'set', from: 'set', isNew: true, encrypted: true }]);
});

test('a file that appeared during an export is not replaced', async () => {
  const { engine, file } = await source('late');
  const appears = working(
    async () => undefined,
    () => writeFileSync(file, 'mine'),
  );
  await rejects(exportToFile(engine, { ...REQUEST, to: file } as never, appears), {
    code: 'EXISTS',
  });
  equal(readFileSync(file, 'utf8'), 'mine');
  deepEqual(
    readdirSync(home).filter((it) => it.endsWith('.part')),
    [],
  );
});

test('a machine selects nothing among named points, and is refused', async () => {
  const { engine, file, id } = await source('named');
  const request = { points: [id], machine: 'other', overwrite: false, to: file } as never;
  await rejects(exportToFile(engine, request, none), { code: 'REFUSED', message: /--machine/ });
});
