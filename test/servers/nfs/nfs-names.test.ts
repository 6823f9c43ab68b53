import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { STATUS } from '../../../src/formats/wire/nfs3.ts';
import { PROGRAMS } from '../../../src/formats/wire/rpc.ts';
import type { Args } from '../../support/nfs-client.ts';
import { attributesArgs, create, list, lookup, session } from '../../support/nfs-calls.ts';

/** Names in Latin-1, which differ in what UTF-8 cannot read. */
const [ONE, OTHER] = [Buffer.from('disk-\u00e4', 'latin1'), Buffer.from('disk-\u00f6', 'latin1')];

test('a name that is no UTF-8 is refused as such, and is no other name', async () => {
  await using it = await session();
  const { client, directory } = it;
  const at =
    (name: Uint8Array): Args =>
    (to) => {
      to.opaque(directory);
      to.opaque(name);
    };
  const made = async (name: Uint8Array): Promise<number> =>
    (
      await client.nfs('create', (to) => {
        at(name)(to);
        to.u32(0);
        attributesArgs(to);
      })
    ).status;
  for (const name of [ONE, OTHER]) {
    equal(await made(name), STATUS.invalid);
    equal((await client.nfs('lookup', at(name))).status, STATUS.notFound);
    for (const procedure of ['remove', 'rmdir'] as const) {
      equal((await client.nfs(procedure, at(name))).status, STATUS.notFound);
    }
  }
  const x = Buffer.from('x');
  equal((await create(client, directory, 'x')).status, 0);
  const renamed = async (from: Uint8Array, to: Uint8Array): Promise<number> =>
    (
      await client.nfs('rename', (writer) => {
        at(from)(writer);
        at(to)(writer);
      })
    ).status;
  equal(await renamed(ONE, x), STATUS.notFound);
  equal(await renamed(x, ONE), STATUS.invalid);
  const link = await client.nfs('symlink', (to) => {
    at(Buffer.from('link'))(to);
    attributesArgs(to);
    to.opaque(ONE);
  });
  equal(link.status, STATUS.invalid);
  const mounted = await client.call({
    ...{ program: PROGRAMS.mount.number, version: 3, procedure: 1, as: { uid: 0, gid: 0 } },
    args: (to) => to.opaque(Buffer.concat([Buffer.from('/holdfast/'), ONE])),
  });
  deepEqual([mounted.accepted, mounted.results.u32()], [0, STATUS.invalid]);
  equal((await lookup(client, directory, '\ufffd')).status, STATUS.notFound);
  equal((await lookup(client, directory, 'x')).status, 0, 'the connection goes on');
});

test('names that look alike are told apart by their bytes', async () => {
  await using it = await session();
  const { client, directory } = it;
  // A mark of byte order, composed and decomposed letters, the replacement character.
  const names = ['a', '\ufeffa', '\u00e4', 'a\u0308', '\ufffd'];
  const handles = new Set<string>();
  for (const name of names) {
    const { status, handle } = await create(client, directory, name);
    equal(status, 0, name);
    handles.add(Buffer.from(handle).toString('hex'));
  }
  equal(handles.size, names.length);
  const listed = await list(client, directory, { plus: false, size: 4096 });
  deepEqual(
    listed.filter((name) => names.includes(name)),
    names,
  );
});

test('a client may call itself whatever it likes: its locks are its own', async () => {
  await using it = await session();
  const { handle } = await lookup(it.client, it.directory, 'vda.raw');
  const lock = async (host: Uint8Array): Promise<number> => {
    const { results } = await it.client.call({
      ...{ program: PROGRAMS.locks.number, version: 4, procedure: 2, as: { uid: 0, gid: 0 } },
      args(to) {
        to.text('cookie');
        to.flag(false);
        to.flag(true);
        to.opaque(host);
        to.opaque(handle);
        to.text('owner');
        to.u32(1);
        to.u64(0);
        to.u64(0);
        to.flag(false);
        to.u32(0);
      },
    });
    results.opaque(10);
    return results.u32();
  };
  deepEqual([await lock(ONE), await lock(ONE), await lock(OTHER)], [0, 0, 1]);
});
