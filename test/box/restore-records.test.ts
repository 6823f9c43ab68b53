import { deepEqual, match, rejects } from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { holdRestores } from '../../src/box/restore-records.ts';
import type { RestoreRecord } from '../../src/formats/store/service/restore.ts';
import { realWorld } from '../../src/sys/world.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const RECORD: RestoreRecord = {
  ...{ id: 'restore-1', hypervisor: 'kvm1', asked: '{}', started: '2026-11-30T02:00:00.000Z' },
  ...{ uuid: 'u', aside: undefined, machine: 'm', disks: ['/pool/disk'], isWhole: true },
};

function place() {
  const directory = join(temporaryDirectory(), 'restores');
  return {
    directory,
    hold: (hypervisor = 'kvm1') => holdRestores(realWorld(), { directory, hypervisor }),
  };
}

test('a restore that was left is known to the next one to that hypervisor, until it is removed', async () => {
  const { hold } = place();
  {
    await using held = await hold();
    await held.put({ ...RECORD, machine: undefined, disks: undefined });
    await held.put(RECORD);
  }
  await using other = await hold('kvm2');
  deepEqual(await other.left(fail), []);
  await using next = await hold();
  deepEqual(await next.left(fail), [RECORD]);
  await next.remove(RECORD.id);
  deepEqual(await next.left(fail), []);
});

test('one process at a time restores to a hypervisor', async () => {
  const { hold } = place();
  {
    await using _held = await hold();
    await rejects(hold(), { code: 'BUSY' });
    await using _other = await hold('kvm2');
  }
  await using _again = await hold();
});

test('a record that cannot be read is reported, and left alone', async () => {
  const { directory, hold } = place();
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'restore-2.json'), '{"format":"holdfast-restore"');
  await using held = await hold();
  await held.put(RECORD);
  const said: string[] = [];
  deepEqual(await held.left((what) => said.push(what)), [RECORD]);
  match(said.join(), /restore-2\.json cannot be used, and stays/);
});

function fail(what: string): never {
  throw new Error(what);
}
