import { deepEqual, equal } from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import { program, without } from '../../support/programs.ts';
import { qemuNbd } from '../../support/qemu-nbd.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const root = temporaryDirectory();
const PAGE = 4096;
const skip = without('qemu-nbd', 'qemu-img');

/** A raw disk of which every other page is written. */
function fragmented(pages: number): string {
  const path = join(root, `${pages}.raw`);
  const file = openSync(path, 'w');
  const page = new Uint8Array(PAGE).fill(7);
  for (let at = 0; at < pages; at++) writeSync(file, page, 0, PAGE, 2 * at * PAGE);
  ftruncateSync(file, 2 * pages * PAGE);
  closeSync(file);
  return path;
}

async function requireAlternating(uri: string, pages: number): Promise<void> {
  await using disk = await openNbdDisk(uri);
  equal(disk.geometry.size, 2 * pages * PAGE);
  const extents = await disk.extents(0, disk.geometry.size);
  equal(extents.length, 2 * pages);
  for (const [at, extent] of extents.entries()) {
    const kind = at % 2 === 0 ? 'data' : 'zero';
    if (extent.offset === at * PAGE && extent.length === PAGE && extent.kind === kind) continue;
    deepEqual(extent, { offset: at * PAGE, length: PAGE, kind });
  }
}

// D1: QEMU cuts its replies at 131,072 extents.
test('a raw disk of 200,000 extents is known piece by piece', { skip }, async () => {
  const pages = 100_000;
  await using server = await qemuNbd('-r', '-f', 'raw', fragmented(pages));
  await requireAlternating(server.uri, pages);
});

test('so is an image with clusters in parts', { skip }, async () => {
  const pages = 66_000;
  const image = join(root, 'parts.qcow2');
  const parts = 'extended_l2=on,cluster_size=128k';
  await program(
    'qemu-img',
    ...[
      'convert',
      '-t',
      'unsafe',
      '-W',
      '-m',
      '8',
      '-S',
      '4k',
      '-f',
      'raw',
      '-O',
      'qcow2',
      '-o',
      parts,
    ],
    ...[fragmented(pages), image],
  );
  await using server = await qemuNbd('-r', '-f', 'qcow2', image);
  await requireAlternating(server.uri, pages);
});
