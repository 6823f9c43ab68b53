import { deepEqual, equal, rejects } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { fileDevice } from '../../../src/block/file.ts';
import { diskCopies } from '../../../src/sessions/finish/disk-copies.ts';
import type { Store } from '../../../src/store/directory/store.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { engineIn } from '../../support/engine.ts';
import { program, without } from '../../support/programs.ts';
import { noise, seeded } from '../../support/random.ts';
import { newStore, simulatedWorld } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const DISK = noise(64 * 1024, 5);

/** Copies a disk that the file `from` holds. */
async function complete(store: Store, from: string, to: string) {
  await using copies = diskCopies(store, {
    ...{ targets: [{ disk: 'vda', to, format: undefined }], overwrite: false },
    ...{ mayErase: async () => {}, isSecret: () => false, signal: undefined, onProgress() {} },
  });
  await using device = await fileDevice(store.files, from);
  return await copies.complete([{ name: 'vda', device }]);
}

test('a file that was there already counts once it is on the medium', async () => {
  const disk = crashingFs(seeded(1));
  const { store } = await newStore(simulatedWorld(disk.files));
  for (const path of ['/from', '/to']) {
    await using file = await disk.files.create(path);
    await file.write(DISK, 0);
  }
  const [done] = await complete(store, '/from', '/to');
  equal(done!.writtenBytes, 0);
  const { files } = disk.reboot();
  deepEqual(Buffer.from(await files.readFile('/to', 2 ** 20)), Buffer.from(DISK));
});

const skip = without('qemu-img', 'qemu-nbd', 'prlimit');

test('an image over another file is not the disk, whatever it reads as', { skip }, async () => {
  const root = temporaryDirectory();
  await using engine = await (await engineIn(root)).open();
  const from = join(root, 'from');
  writeFileSync(from, DISK);
  const over = join(root, 'over.qcow2');
  await program('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', from, '-F', 'raw', over);
  await rejects(complete(engine.store, from, over), { code: 'EXISTS' });
  const whole = join(root, 'whole.qcow2');
  await program('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', from, whole);
  const [done] = await complete(engine.store, from, whole);
  equal(done!.writtenBytes, 0);
});
