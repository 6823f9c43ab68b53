import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { program } from '../support/programs.ts';
import { SIZE } from './backups.ts';
import { type Real, tracked } from './libvirt-disks.ts';
import type { Test } from './rig.ts';
import { endless, truth, WISH } from './taking.ts';

// Another backup program beside ours, on a real libvirtd: by its Python binding, libnbd's tools, and checkpoints of its
// own.

const SCRIPT = new URL('../support/second-client.py', import.meta.url).pathname;
/** Debian's own, which has the binding. */
const PYTHON = '/usr/bin/python3';
const hasBinding = spawnSync(PYTHON, ['-c', 'import libvirt']).status === 0;

export function othersConform(test: Test, real: Real): void {
  if (!hasBinding) return;
  test('another program’s backups between ours: both have all changes, and neither loses a checkpoint', async () => {
    await using it = await tracked(real);
    const { host } = real;
    const { id } = it.machine;
    const other = (...words: readonly string[]) => program(PYTHON, SCRIPT, host.uri, id, ...words);
    const theirs = async () =>
      (await other('list')).split('\n').filter((name) => name.startsWith('other-'));
    const ours = async () =>
      (await other('list')).split('\n').filter((name) => name.startsWith('holdfast-')).length;
    const socket = join(host.sockets, `${id.slice(0, 8)}-other`);
    const uri = `nbd+unix:///vda?socket=${socket}`;
    const copied = async (): Promise<Uint8Array> => {
      const file = join(host.directory, `${id}.other`);
      await program('nbdcopy', uri, file);
      const bytes = new Uint8Array(readFileSync(file));
      rmSync(file);
      return bytes;
    };
    const isTrue = async () => {
      const now = (await truth(it.machine, ['vda'])).get('vda')!;
      equal(Buffer.compare(await copied(), now), 0);
    };

    await other('checkpoint', 'other-1');
    await it.write();
    await other('begin', 'other-2', socket);
    await isTrue();
    await other('end');
    equal(await it.next(), undefined);
    deepEqual([await theirs(), await ours()], [['other-1', 'other-2'], 1]);

    await it.write();
    await it.write();
    await other('begin', 'other-3', socket, 'other-2');
    const map = await program('nbdinfo', '--map=qemu:dirty-bitmap:backup-vda', uri);
    // What was written since: two clusters after the first, which other-2 has.
    const dirty = [...map.matchAll(/^\s*(\d+)\s+(\d+)\s+1\s+dirty$/gm)];
    deepEqual(
      dirty.map(([, offset, length]) => [Number(offset), Number(length)]),
      [[SIZE / 4, SIZE / 2]],
    );
    await isTrue();
    await other('end');
    equal(await it.next(), undefined);

    // Theirs are merged into those before, among which ours may be.
    await other('delete', 'other-2');
    await it.write();
    equal(await it.next(), undefined);
    await other('delete', 'other-1');
    await it.write();
    equal(await it.next(), undefined);
    deepEqual([await theirs(), await ours()], [['other-3'], 1]);
    const check = await it.driver.backup.check(id, WISH, endless());
    ok(check.some(({ code }) => code === 'foreign-tracking'));
  });
}
