import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { parseHypervisorUri } from '../../src/hypervisors/base/target.ts';
import { openLibvirt } from '../../src/hypervisors/drivers/libvirt.ts';
import { realWorld } from '../../src/sys/world.ts';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { libvirtStore, type MadePoint } from '../support/libvirt-store.ts';
import { libvirtWire } from '../support/libvirt-wire.ts';
import { program } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import type { OnCall } from '../hypervisors/rig.ts';

// Images of a machine that is off, with bitmaps that libvirt made: what is read of them, and when that does not count.
// Each recovery point is restored, and compared with the images by qemu-img.

const MIB = 2 ** 20;
const NAMES = ['vda', 'vdb'];
const WISH = { only: undefined, exclude: [], consistency: 'crash', fallBack: true } as const;

test('images of a machine that is off are backed up as they are', {
  skip: libvirtMissing,
  timeout: 300_000,
}, async (t) => {
  await using host = await libvirtHost();
  const root = temporaryDirectory();
  const store = await libvirtStore(host, root);
  const images = new Map<string, string>();
  for (const name of NAMES) {
    images.set(name, await host.disk(`${name}.qcow2`, { size: 16 * MIB, isBlank: true }));
  }
  const web1 = await host.define({
    ...{ name: 'web1', uuid: '5e1fc4ec-0000-4000-8000-00000000000a' },
    ...{ isStill: true, agent: 'none' },
    disks: NAMES.map((target) => ({ target, path: images.get(target)! })),
  });

  async function write(path: string, pattern: number, offset: number): Promise<void> {
    const command = `write -P ${pattern} ${offset * MIB} ${MIB}`;
    await program('qemu-io', '-f', 'qcow2', '-c', command, path);
  }
  /** Restores what was made, and compares it with the images, whatever else they consist of. */
  async function requireSame(point: string): Promise<void> {
    for (const [name, path] of images) {
      const file = join(root, `${point}-${name}.raw`);
      const { code, stderr } = await store.holdfast('restore', 'disk', point, name, '--to', file);
      equal(code, 0, stderr);
      await program('qemu-img', 'compare', '-U', '-f', 'raw', '-F', 'qcow2', file, path);
    }
  }
  async function backUp(): Promise<MadePoint> {
    const made = await store.backUp('web1', 0);
    await requireSame(made.point);
    return made;
  }
  /** Runs once, so that libvirt makes its bitmaps, and is turned off again. */
  async function backUpOn(): Promise<MadePoint> {
    await web1.start();
    await web1.report(/^STILL$/);
    const made = await backUp();
    await web1.destroy();
    return made;
  }
  const checkpoint = async (): Promise<string> =>
    (await host.virsh('checkpoint-list', 'web1', '--name')).trim();

  await t.test('what was written to them is read, by the bitmaps of the last backup', async () => {
    await write(images.get('vda')!, 1, 1);
    deepEqual((await backUpOn()).scopes, { vda: 'all', vdb: 'all' });
    for (const pattern of [2, 3]) {
      await write(images.get('vda')!, pattern, 2 * pattern);
      await write(images.get('vdb')!, pattern, 5);
      const { scopes, consistency } = await backUp();
      deepEqual([scopes, consistency.got], [{ vda: 'changes', vdb: 'changes' }, 'off']);
    }
  });

  await t.test('an older copy that is put back under the name of one counts', async () => {
    const path = images.get('vda')!;
    const older = `${path}.older`;
    await program('cp', path, older);
    await write(path, 9, 3);
    await backUp();
    renameSync(older, path);
    deepEqual((await backUp()).scopes, { vda: 'changes', vdb: 'changes' });
    await write(path, 10, 13);
    deepEqual((await backUpOn()).scopes, { vda: 'changes', vdb: 'changes' });
  });

  await t.test('one that got a backing file counts in all of its layers', async () => {
    const [path, base] = [images.get('vda')!, join(host.directory, 'base.qcow2')];
    await write(path, 4, 8);
    // As libvirt does for an external snapshot: the new bitmap counts from here on.
    renameSync(path, base);
    await program('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', path);
    await program('qemu-img', 'bitmap', '--add', path, await checkpoint());
    await write(path, 5, 10);
    deepEqual((await backUp()).scopes, { vda: 'changes', vdb: 'changes' });
    deepEqual((await backUpOn()).scopes, { vda: 'changes', vdb: 'changes' });
    deepEqual((await backUp()).scopes, { vda: 'changes', vdb: 'changes' });
  });

  await t.test(
    'another file in the place of one is read whole, whatever its bitmaps say',
    async () => {
      const other = await host.disk('other.qcow2', { size: 16 * MIB, isBlank: true });
      await write(other, 6, 12);
      await program('qemu-img', 'bitmap', '--add', other, await checkpoint());
      const changed = join(host.directory, 'changed.xml');
      writeFileSync(changed, web1.definition.replace(images.get('vdb')!, other));
      await host.virsh('define', changed);
      const before = images.get('vdb')!;
      images.set('vdb', other);
      const moved = await backUp();
      equal(moved.scopes['vdb'], 'all');
      match(moved.reasons['vdb']!, new RegExp(`in ${other} now, and was in ${before}`));
      await backUpOn();

      // Under the name of the one before.
      await write(other, 7, 1);
      renameSync(other, `${other}.old`);
      await program('qemu-img', 'create', '-q', '-f', 'qcow2', other, String(16 * MIB));
      await write(other, 8, 3);
      const replaced = await backUp();
      equal(replaced.scopes['vdb'], 'all');
      match(replaced.reasons['vdb']!, /lost what it counted/);
      await backUpOn();
      equal((await backUp()).scopes['vdb'], 'changes');
    },
  );

  /** Programs that read one of its images. */
  function readers(): readonly string[] {
    const lines = readdirSync('/proc')
      .filter((it) => /^\d+$/.test(it))
      .map((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        } catch {
          // It has ended.
          return '';
        }
      });
    return lines.filter((it) => it.startsWith('qemu-nbd') && it.includes(host.directory));
  }
  await using wire = libvirtWire(host);
  async function connect(onCall: OnCall) {
    const uri = parseHypervisorUri(`qemu+unix:///system?socket=${await wire.socket(onCall)}`)!;
    const own = { name: 'kvm1', owner: 'store1', sockets: host.sockets, scratch: undefined };
    const options = { ...realWorld(), ...own, target: { uri, ssh: undefined } };
    return openLibvirt(options, AbortSignal.timeout(60_000));
  }
  const id = '5e1fc4ec-0000-4000-8000-00000000000a';
  const begun = { point: 'point1', signal: new AbortController().signal, onNotice() {} };

  await t.test(
    'a machine that is started in the middle: what was read is not confirmed',
    async () => {
      await using driver = await connect(() => undefined);
      {
        await using snapshot = await driver.backup.begin(id, WISH, undefined, begun);
        await snapshot.confirm();
        equal(readers().length, 2);
        // With its images it would not start: they are locked.
        await rejects(host.virsh('start', 'web1'), /lock/);
        await snapshot.confirm();
        for (const name of NAMES) await host.virsh('detach-disk', 'web1', name, '--config');
        await host.virsh('start', 'web1');
        await rejects(snapshot.confirm(), { code: 'FAILED' });
        // Also if it is off again by then.
        await host.virsh('destroy', 'web1');
        await rejects(snapshot.confirm(), { code: 'FAILED' });
      }
      deepEqual(readers(), []);
      const again = join(host.directory, 'again.xml');
      writeFileSync(again, web1.definition.replace(/\/\S*\/vdb\.qcow2/, images.get('vdb')!));
      await host.virsh('define', again);
    },
  );

  await t.test(
    'whatever fails while it begins, no program goes on reading its images',
    async () => {
      const calls: string[] = [];
      {
        await using driver = await connect((name) => void calls.push(name));
        await using _snapshot = await driver.backup.begin(id, WISH, undefined, begun);
      }
      for (let at = 1; at <= calls.length; at++) {
        let begins = false;
        await using driver = await connect((_name, count) =>
          begins && count === at ? 'FAILED' : undefined,
        );
        begins = true;
        const beginning = driver.backup.begin(id, WISH, undefined, begun);
        const ended = await beginning.then(
          (snapshot) => snapshot[Symbol.asyncDispose](),
          (cause: Error) => equal(cause.name, 'HypervisorError', cause.stack),
        );
        equal(ended, undefined);
        deepEqual(readers(), [], `call ${at}: ${calls[at - 1]}`);
      }
    },
  );
});
