import { deepEqual, equal, ok } from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path/posix';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { heldRoots, holdRoots } from '../../../src/store/directory/reader-leases.ts';
import { createStore, openStore, type Store } from '../../../src/store/directory/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';

const DOMAIN = '0123456789abcdef0123456789abcdef';
const ROOT = { domain: DOMAIN, place: { pack: 7, offset: 4096 }, where: 'a test' };

async function newStore(): Promise<Store> {
  const directory = join(temporaryDirectory(), 'store');
  await createStore(realWorld(), directory);
  return openStore(realWorld(), directory);
}

const readersOf = (store: Store): string => join(store.directory, 'leases', 'readers');

/** What a sweep learns: the roots, and whether it may remove anything of the domain. */
async function seen(store: Store) {
  const { roots, obstacles } = await heldRoots(store, [DOMAIN]);
  return { roots: roots.map(({ place }) => place), obstacles: obstacles.length };
}

const NOTHING = { roots: [], obstacles: 0 };
const HELD = { roots: [ROOT.place], obstacles: 0 };

test('a lease holds its roots until it is disposed, and leaves no file', async () => {
  await using store = await newStore();
  deepEqual(await seen(store), NOTHING);
  const lease = await holdRoots(store, [ROOT], 'a test');
  deepEqual(await seen(store), HELD);
  deepEqual(await seen(store), HELD, 'looking at it changes nothing');
  await lease[Symbol.asyncDispose]();
  deepEqual(readdirSync(readersOf(store)), []);
  deepEqual(await seen(store), NOTHING);
});

async function holderOf(store: Store): Promise<{ child: ChildProcess; program: number }> {
  const script = fileURLToPath(new URL('../../support/lease-holder.ts', import.meta.url));
  const { pack, offset } = ROOT.place;
  const words = [script, store.directory, DOMAIN, `${pack}`, `${offset}`];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, program: Number(said.toString()) };
}

test('the lease of another process holds, and ends with it when it is killed, not with what it started', async () => {
  await using store = await newStore();
  const { child, program } = await holderOf(store);
  try {
    deepEqual(await seen(store), HELD);
    const [name] = readdirSync(readersOf(store));
    ok(name?.endsWith('.json'));
    child.kill('SIGKILL');
    await once(child, 'exit');
    process.kill(program, 0);
    deepEqual(await seen(store), NOTHING, 'although the program that it started still runs');
    deepEqual(readdirSync(readersOf(store)), [], 'what it left was removed');
  } finally {
    child.kill('SIGKILL');
    process.kill(program, 'SIGKILL');
  }
});

test('a reader removes what killed readers left, and none that lives', async () => {
  await using store = await newStore();
  await using _lives = await holdRoots(store, [ROOT], 'a test');
  for (const left of ['00', '11.tmp', '22.json']) writeFileSync(join(readersOf(store), left), '');
  await using _next = await holdRoots(store, [ROOT], 'a test');
  equal(readdirSync(readersOf(store)).length, 2);
  deepEqual((await seen(store)).roots.length, 2);
});

test('a lease that is held but cannot be read holds back everything', async () => {
  await using store = await newStore();
  await using _lease = await holdRoots(store, [ROOT], 'a test');
  const [name] = readdirSync(readersOf(store));
  writeFileSync(join(readersOf(store), name!), '{"format":');
  deepEqual(await seen(store), { roots: [], obstacles: 1 });
});

function without(files: FileSystem, failure: 'NO_SPACE' | 'DENIED'): FileSystem {
  return {
    ...files,
    create: async (path) => {
      throw new SystemError(failure, path);
    },
  };
}

for (const failure of ['NO_SPACE', 'DENIED'] as const) {
  test(`a reader that cannot write its lease (${failure}) reads on, and nothing is removed`, async () => {
    await using store = await newStore();
    const full = { ...store, files: without(store.files, failure) };
    const lease = await holdRoots(full, [ROOT], 'a test');
    deepEqual(await seen(store), { roots: [], obstacles: 1 });
    await lease[Symbol.asyncDispose]();
    deepEqual(await seen(store), NOTHING);
  });
}

test('a lease is not written through a link, and holds all the same', async () => {
  await using store = await newStore();
  const elsewhere = temporaryDirectory();
  symlinkSync(elsewhere, readersOf(store));
  await using _lease = await holdRoots(store, [ROOT], 'a test');
  deepEqual(readdirSync(elsewhere), []);
  equal((await seen(store)).obstacles, 1);
});

test('a lease that loses its unfinished file to another reader is not lost', async () => {
  await using store = await newStore();
  mkdirSync(readersOf(store));
  rmdirSync(readersOf(store));
  const files: FileSystem = {
    ...store.files,
    async create(path) {
      const file = await store.files.create(path);
      // Another one looks before this one has locked it.
      deepEqual(await seen(store), NOTHING);
      return file;
    },
  };
  await using _lease = await holdRoots({ ...store, files }, [ROOT], 'a test');
  await until('a sweep that is held back', async () => (await seen(store)).obstacles === 1);
});
