import { deepEqual, equal, ok } from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileOfKind, readPointFile } from '../../src/catalog/point-files.ts';
import { readPoint } from '../../src/catalog/points.ts';
import { openEngine, openSet } from '../../src/engine/base/engine.ts';
import type { SessionRecord } from '../../src/formats/store/sessions/session.ts';
import { machineFiles } from '../../src/sessions/guest/machine-files.ts';
import { machineOf } from '../../src/sessions/guest/read-machine.ts';
import { expectSound } from '../support/checked-guest.ts';
import { collectedFrom, expectDone, spawnCliIn } from '../support/cli.ts';
import { type LibvirtHost, libvirtHost } from '../support/libvirt.ts';
import { guestDevices, guestSystem, type MachinePlan } from '../support/libvirt-machine.ts';
import { libvirtStore } from '../support/libvirt-store.ts';
import { remember, remembered } from '../support/machine-memory.ts';
import { program } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// A machine keeps more than its disks: variables of its firmware and the state of its TPM. Both are backed up from a
// real libvirt, and the domain of a session, started by one, has them again.

const MIB = 2 ** 20;
interface Test {
  test(name: string, body: () => Promise<void>): PromiseLike<unknown>;
}

const KINDS = ['firmware-vars', 'tpm-state'] as const;

/** `isUefi`: of the machine, as its plan has it. */
export async function firmwareRecovers(t: Test, isUefi: true | 'secure'): Promise<void> {
  await using host = await libvirtHost();
  const root = temporaryDirectory();
  const store = await libvirtStore(host, root, (words) =>
    collectedFrom(spawnCliIn(host.command(), words)),
  );
  const image = await host.disk('vda.qcow2', { size: 32 * MIB });
  const disks = [{ target: 'vda', path: image }];
  const secret1 = await host.define({ name: 'secret1', disks, isUefi, hasTpm: true });
  await secret1.start();
  await remember(secret1, 'holdfast');
  const uuid = (await host.virsh('domuuid', 'secret1')).trim();
  const kept = async (): Promise<readonly Buffer[]> => [
    readFileSync(
      isUefi === 'secure'
        ? join(host.directory, 'secret1.nvram')
        : host.path('/var/lib/libvirt/qemu/nvram/secret1_VARS.fd'),
    ),
    readFileSync(host.path(`/var/lib/libvirt/swtpm/${uuid}/tpm2/tpm2-00.permall`)),
  ];
  const durable = await secret1.durable(2);
  const running = await store.backUp('secret1', durable);

  await t.test('while it runs, both files are those of the host', async () => {
    deepEqual(await filesOf(root, running.point), await kept());
  });

  await t.test('while it is off, too, and its disk is the image', async () => {
    const last = await secret1.rest();
    await secret1.shutDown();
    const off = await store.backUp('secret1', last);
    equal(off.consistency.got, 'off');
    deepEqual(await filesOf(root, off.point), await kept());
    const copy = join(root, 'copy.raw');
    await restored(root, off.point, copy);
    await program('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', copy, image);
  });

  await t.test('the domain of a session has them again', async () => {
    await host.virsh('undefine', 'secret1', '--nvram', '--checkpoints-metadata');
    await within(host, 'rm', '-rf', `/var/lib/libvirt/swtpm/${uuid}`);
    const again = await host.define(await recovered(host, root, running.point));
    await again.start();
    deepEqual(await remembered(again), { nvram: 'holdfast', tpm: 'holdfast' });
    expectSound(await again.checked(1), durable);
    const secure = (await host.virsh('dumpxml', again.name)).includes("secure='yes'");
    equal(secure, isUefi === 'secure');
    await again.destroy();
  });
}

async function restored(root: string, point: string, to: string): Promise<void> {
  const words = ['restore', 'disk', point, 'vda', '--to', to, '--store', join(root, 'store')];
  await expectDone(collectedFrom(spawnCliIn([], words)));
}

async function within(host: LibvirtHost, ...words: readonly string[]): Promise<void> {
  const [enter = '', ...args] = host.command(...words);
  await program(enter, ...args);
}

async function filesOf(root: string, point: string): Promise<readonly Buffer[]> {
  const { engine, set, record } = await opened(root, point);
  await using _engine = engine;
  const files = KINDS.map((kind) => {
    const file = fileOfKind(record, kind);
    ok(file, `${point} has no ${kind}`);
    return readPointFile(engine.store, set, record, file);
  });
  return (await Promise.all(files)).map((it) => Buffer.from(it));
}

async function opened(root: string, point: string) {
  const engine = await openEngine(join(root, 'store'));
  const set = await openSet(engine, 'nightly', async () => undefined);
  return { engine, set, record: await readPoint(engine.store, set, point) };
}

/** A machine from the files that lie in a session's directory, and the steps that these name. */
async function recovered(host: LibvirtHost, root: string, point: string): Promise<MachinePlan> {
  const { engine, set, record } = await opened(root, point);
  await using _engine = engine;
  const about = await machineOf(engine.store, { set, point: record }, (it) => {
    throw new Error(it);
  });
  const disks = record.disks.map(({ name, size }) => ({ name, size }));
  const session = { id: 's', machine: 'secret1', point, disks } as unknown as SessionRecord;
  const place = join(host.directory, 's');
  mkdirSync(place);
  for (const { name, contents } of machineFiles(session, about).files) {
    writeFileSync(join(place, name), contents);
  }
  await restored(root, point, join(place, 'vda.raw'));
  const name = 'secret1-recovered';
  const printed = readFileSync(join(place, 'secret1.xml'), 'utf8').replaceAll(
    '/mnt/holdfast',
    host.directory,
  );
  const steps = [...printed.matchAll(/<!-- ((?:mkdir|cp) .*) -->/g)].map(([, step = '']) => step);
  equal(steps.length, 2);
  for (const step of steps) await within(host, 'sh', '-c', step);
  const definition = printed
    // Without KVM, on a file system that need not know direct I/O, and with the guest's own kernel and ports.
    .replace("type='kvm'", "type='qemu'")
    .replaceAll(" cache='none'", '')
    .replace('</os>', `${guestSystem(host.directory)}</os>`)
    .replace("<serial type='pty'/>", guestDevices(host.directory, name))
    .replace("<console type='pty'/>", '');
  return { name, disks: [], agent: 'none', definition };
}
