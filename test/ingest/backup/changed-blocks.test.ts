import { deepEqual, match, ok, rejects, throws } from 'node:assert/strict';
import { test } from 'tap';
import { readChangedBlocks, requireWithin } from '../../../src/ingest/backup/changed-blocks.ts';
import { IngestError } from '../../../src/ingest/source/ingest-error.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { seeded } from '../../support/random.ts';

const PATH = '/list';

async function read(text: string, disks = ['vda']) {
  const { files } = crashingFs(seeded(1));
  {
    await using file = await files.create(PATH);
    await file.write(Buffer.from(text), 0);
  }
  return readChangedBlocks(files, PATH, disks);
}

test('a list of changed blocks is for one disk, or has one for each', async () => {
  const range = { offset: 4096, length: 512 };
  const one = new Map([['vda', [range]]]);
  deepEqual(await read(JSON.stringify([range])), { since: undefined, disks: one });
  const both = { vda: [], vdb: [range] };
  const disks = new Map(Object.entries(both));
  deepEqual(await read(JSON.stringify(both), ['vda', 'vdb']), { since: undefined, disks });
  await rejects(read('[]', ['vda', 'vdb']), { code: 'BAD_CHANGES' });
});

test('a list may say which recovery point it is counted from', async () => {
  const range = { offset: 0, length: 1 };
  const since = 'vm-20261121T013000Z-a3f9c2';
  const disks = new Map([['vda', [range]]]);
  deepEqual(await read(JSON.stringify({ since, disks: [range] })), { since, disks });
  deepEqual(await read(JSON.stringify({ since, disks: { vda: [range] } })), { since, disks });
  const odd = { since: [range], disks: [range] };
  deepEqual(await read(JSON.stringify(odd), ['since', 'disks']), {
    since: undefined,
    disks: new Map(Object.entries(odd)),
  });
  for (const text of ['{"since": "../x", "disks": []}', '{"since": 7, "disks": []}']) {
    await rejects(read(text), { code: 'BAD_CHANGES' });
  }
});

test('what is wrong with a list is told without a word of what it holds', async () => {
  // The service reads any file that a request names, and every viewer can read its answer.
  for (const text of [
    'hunter2\n',
    '{"hunter2": []}',
    '{"vda": "hunter2"}',
    '[{"offset": 0, "length": 1}, {"hunter2": "hunter2"}]',
    '[null, "hunter2"]',
    '"hunter2"',
  ]) {
    const error = await read(text).then(
      () => undefined,
      (cause: unknown) => cause as IngestError,
    );
    ok(error instanceof IngestError, text);
    match(error.message, /^\/list/);
    for (let at: unknown = error; at instanceof Error; at = at.cause) {
      ok(!/hunt|ter2/.test(at.message), at.message);
    }
  }
});

// F11
test('a list that reaches beyond the disk is of another one', async () => {
  const MiB = 2 ** 20;
  const disk = { name: 'vda', size: 24 * MiB + 512 };
  for (const [offset, length] of [
    [24 * MiB, 64 * 1024],
    [0, 32 * MiB],
    [disk.size, 0],
    [disk.size + 4096, 0],
  ] as const) {
    requireWithin([{ offset, length }], disk);
  }
  for (const [offset, length] of [
    [disk.size, 1],
    [disk.size + 4096, 512],
    [0, disk.size + 32 * MiB],
  ] as const) {
    const ranges = [
      { offset: 0, length: 512 },
      { offset, length },
    ];
    throws(() => requireWithin(ranges, disk), /entry 2 .*beyond the end of disk vda/);
  }
});
