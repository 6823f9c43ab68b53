import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { encodePackHeader } from '../../../src/formats/store/packs/pack.ts';
import {
  FRAME_LENGTH_MAX,
  frameCodec,
  NONCE_LENGTH,
} from '../../../src/formats/store/packs/frame.ts';
import { publicKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import { walkFrames } from '../../../src/store/packs/frame-walk.ts';
import { readFooter } from '../../../src/store/packs/pack-contents.ts';
import { salvageOpenPacks } from '../../../src/store/packs/salvage.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { noise, seeded } from '../../support/random.ts';

const PACKS = '/packs';
const GROUP = `${PACKS}/00000`;
const codec = frameCodec(publicKeys());
const domain = new Uint8Array(16);

function frame(seed: number, kind: 'block' | 'node' = 'block'): Uint8Array {
  const plain = noise(5000, seed);
  const into = new Uint8Array(FRAME_LENGTH_MAX);
  const nonce = noise(NONCE_LENGTH, seed + 1000);
  const length = codec.seal(plain, into, { kind, digest: codec.digest(plain), nonce });
  return into.slice(0, length);
}

/** Packs as a crash leaves them. */
async function place(open: Readonly<Record<string, Uint8Array>>) {
  const { files } = crashingFs(seeded(1));
  for (const path of [PACKS, GROUP]) await files.makeDirectory(path);
  const put = async (path: string, bytes: Uint8Array): Promise<void> => {
    await using file = await files.create(path);
    await file.write(bytes, 0);
  };
  for (const [name, bytes] of Object.entries(open)) await put(`${GROUP}/${name}`, bytes);
  return { files, put };
}

const pack = (kind: 'block' | 'node', ...parts: Uint8Array[]): Uint8Array =>
  Buffer.concat([encodePackHeader({ kind, number: 1, domain }), ...parts]);

type Files = Awaited<ReturnType<typeof place>>['files'];

async function digestsIn(files: Files, name: string): Promise<number> {
  await using file = await files.open(`${GROUP}/${name}`, 'read');
  const { entries } = await readFooter(file);
  return entries.length;
}

test('of a pack that was being written every whole frame is kept, and half a frame is not', async () => {
  const half = frame(3).subarray(0, 2000);
  const { files } = await place({ '00000001.pack.open': pack('block', frame(1), frame(2), half) });
  await salvageOpenPacks(files, PACKS);
  deepEqual(await files.list(GROUP), ['00000001.pack']);
  equal(await digestsIn(files, '00000001.pack'), 2);
});

test('a damaged frame ends what is kept: what stands behind it is not trusted', async () => {
  const damaged = frame(2);
  damaged[2000]! ^= 1;
  const { files } = await place({
    '00000001.pack.open': pack('block', frame(1), damaged, frame(3)),
  });
  await salvageOpenPacks(files, PACKS);
  equal(await digestsIn(files, '00000001.pack'), 1);
});

test('nodes are not kept, for blocks that they name may be lost; nor is what has no header', async () => {
  const { files } = await place({
    '00000001.pack.open': pack('node', frame(1, 'node')),
    '00000002.pack.open': new Uint8Array(10),
  });
  await salvageOpenPacks(files, PACKS);
  deepEqual(await files.list(GROUP), ['00000001.pack', '00000002.pack']);
  for (const name of await files.list(GROUP)) equal(await digestsIn(files, name), 0);
});

test('a pack that is sealed stays as it is, whatever lies beside it', async () => {
  const { files, put } = await place({ '00000001.pack.open': pack('block', frame(1)) });
  await put(`${GROUP}/00000001.pack`, pack('block', frame(2)));
  const before = (await files.stat(`${GROUP}/00000001.pack`))!.size;
  await salvageOpenPacks(files, PACKS);
  equal((await files.stat(`${GROUP}/00000001.pack`))!.size, before);
});

test('what is no pack is left alone', async () => {
  const { files, put } = await place({ 'notes.pack.open': pack('block', frame(1)) });
  await put(`${PACKS}/readme`, new Uint8Array(3));
  await salvageOpenPacks(files, PACKS);
  deepEqual(await files.list(GROUP), ['notes.pack.open']);
});

test('what memory has of a pack after a sync that failed, and the medium lacks, is not trusted', async () => {
  const disk = crashingFs(seeded(1));
  const { files } = disk;
  for (const path of [PACKS, GROUP]) await files.makeDirectory(path);
  const name = '00000001.pack';
  {
    await using file = await files.create(`${GROUP}/${name}.open`);
    await file.write(pack('block', frame(1)), 0);
    await file.sync();
    await file.write(frame(2), await file.size());
    disk.failSyncs(() => 'none');
    await rejects(file.sync());
  }
  disk.failSyncs(() => undefined);
  for (const path of ['/', PACKS, GROUP]) await files.syncDirectory(path);
  await salvageOpenPacks(files, PACKS);
  const count = await digestsIn(files, name);
  const after = disk.reboot();
  await using file = await after.files.open(`${GROUP}/${name}`, 'read');
  const { entries } = await walkFrames(file, 'first-damage');
  equal(entries.length, count);
});
