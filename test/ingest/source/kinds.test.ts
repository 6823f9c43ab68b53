import { rejects } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { imageSource } from '../../../src/ingest/source/image-source.ts';
import { nbdSource } from '../../../src/ingest/source/nbd-source.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { serveOne } from '../../support/nbd-server.ts';
import { program, without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { sourceConforms } from './conformance.ts';

const root = temporaryDirectory();
let count = 0;
const open = (path: string, format: 'raw' | 'qcow2') => () =>
  imageSource(realWorld(), path, { format, isSecret: () => false });

function rawImage(bytes: Uint8Array): string {
  const path = join(root, `${count++}.raw`);
  writeFileSync(path, bytes);
  return path;
}

test('raw images', async ({ test: sub }) => {
  sourceConforms(sub, async (initial) => ({ open: open(rawImage(initial), 'raw') }));
});

test('images of other products', { skip: without('qemu-img', 'qemu-nbd') }, async ({
  test: sub,
}) => {
  sourceConforms(sub, async (initial) => {
    const path = join(root, `${count++}.qcow2`);
    await program('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', rawImage(initial), path);
    return { open: open(path, 'qcow2') };
  });
});

test('exports of NBD servers', async ({ test: sub, teardown }) => {
  sourceConforms(sub, async (initial) => {
    const server = await serveOne(memoryDevice(initial));
    teardown(() => server[Symbol.asyncDispose]());
    return { open: () => nbdSource(server.uri) };
  });
});

test('a disk that is empty or ends within a sector is refused, whatever it comes from', async () => {
  for (const size of [0, 700]) {
    const bytes = new Uint8Array(size);
    await rejects(open(rawImage(bytes), 'raw')(), { code: 'BAD_IMAGE' });
    await using server = await serveOne(memoryDevice(bytes));
    await rejects(nbdSource(server.uri), { code: 'BAD_IMAGE' });
  }
});

test('a source that is not there is an error that says so', async () => {
  await rejects(open(join(root, 'nowhere.raw'), 'raw')(), { code: 'NOT_FOUND' });
  await rejects(nbdSource(`nbd+unix:///vda?socket=${root}/nowhere.sock`), { name: 'SystemError' });
});
