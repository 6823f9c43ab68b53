import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import type { BlockDevice, WritableBlockDevice } from '../../../src/block/block-device.ts';
import { memoryDevice } from '../../../src/block/memory.ts';
import { restoreDisk } from '../../../src/ingest/restore/restore.ts';
import { areSame, rewriteDisk } from '../../../src/ingest/restore/rewrite-disk.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { faultyFs } from '../../support/faulty-fs.ts';
import { noise } from '../../support/random.ts';
import { program, without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

// Where a disk is written to, and what is never written over.
const root = temporaryDirectory();
const world = realWorld();
const contents = noise(256 * 1024, 1);
const store = { directory: '/nowhere' };
const noDevice = (): Promise<void> => Promise.reject(new Error('no device was named'));
const at = (name: string): string => join(root, name);
const parts = (): string[] => readdirSync(root).filter((it) => it.endsWith('.part'));

async function restore(
  to: string,
  { format, overwrite = false, disk = memoryDevice(contents) }: Asked = {},
): Promise<string> {
  const done = await restoreDisk(world, disk, {
    ...{ to, format, overwrite, store, mayErase: noDevice, onProgress: () => {} },
  });
  return done.format;
}

interface Asked {
  readonly format?: 'raw' | 'qcow2' | 'vpc';
  readonly overwrite?: boolean;
  readonly disk?: BlockDevice;
}

const refused = (to: string, why: RegExp, asked?: Asked) =>
  rejects(restore(to, asked), (error: Error) => {
    match(error.message, why);
    return true;
  });

// F6
test('only a regular file is replaced', { skip: without('mkfifo', 'mknod') }, async (t) => {
  await program('mkfifo', at('pipe'));
  const server = createServer().listen(at('socket'));
  t.after(() => server.close());
  for (const name of ['pipe', 'socket']) {
    await refused(at(name), /neither a regular file nor a block device/, { overwrite: true });
    ok(!lstatSync(at(name)).isFile());
  }
  await refused(root, /is a directory/, { overwrite: true });
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    await program('mknod', at('null'), 'c', '1', '3');
    await refused(at('null'), /neither/, { overwrite: true });
    ok(lstatSync(at('null')).isCharacterDevice());
  }
  deepEqual(parts(), []);
});

// F6
test('a link is followed, whether there is something at its end or not', async () => {
  writeFileSync(at('real.raw'), 'old');
  symlinkSync('real.raw', at('link.raw'));
  await refused(at('link.raw'), /real\.raw exists/);
  await restore(at('link.raw'), { overwrite: true });
  ok(lstatSync(at('link.raw')).isSymbolicLink());
  deepEqual(readFileSync(at('real.raw')), Buffer.from(contents));
  symlinkSync('later.raw', at('dangling.raw'));
  await restore(at('dangling.raw'));
  deepEqual(readFileSync(at('later.raw')), Buffer.from(contents));
  symlinkSync('circle', at('circle'));
  await refused(at('circle'), /circle/);
  await refused(at('nowhere/x.raw'), /there is no directory .*nowhere/);
});

// F6
test('what appears while the disk is written is not written over', async () => {
  const to = at('appears.raw');
  const disk = memoryDevice(contents);
  const slow: BlockDevice = {
    ...disk,
    async read(into, offset) {
      writeFileSync(to, 'of another user');
      await disk.read(into, offset);
    },
  };
  await refused(to, /exists/, { disk: slow });
  equal(readFileSync(to, 'utf8'), 'of another user');
  deepEqual(parts(), []);
});

// U5
test('a name says its format, and none that contradicts it is written', async (t) => {
  if (without('qemu-img', 'qemu-nbd') === false) {
    equal(await restore(at('said.qcow2')), 'qcow2');
    equal(readFileSync(at('said.qcow2')).toString('latin1', 0, 3), 'QFI');
    equal(await restore(at('said.img'), { format: 'qcow2' }), 'qcow2');
  } else t.comment('qemu is missing');
  equal(await restore(at('plain')), 'raw');
  equal(await restore(at('web-flat.vmdk')), 'raw');
  for (const ending of ['qcow2', 'vmdk', 'vdi', 'vhd', 'vhdx']) {
    const why = new RegExp(`named like ${ending}, and --format says raw`);
    await refused(at(`other.${ending}`), why, { format: 'raw' });
  }
  await refused(at('other.raw'), /named like raw, and --format says vhd/, { format: 'vpc' });
});

// F7
test('no other user may read a restored disk, also not while it is written', async (t) => {
  const formats = without('qemu-img', 'qemu-nbd') === false ? ['raw', 'qcow2', 'vhd'] : ['raw'];
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  for (const format of formats) {
    const disk = memoryDevice(contents);
    let modes: number[] = [];
    const watched: BlockDevice = {
      ...disk,
      async read(into, offset) {
        modes = parts().map((it) => statSync(at(it)).mode & 0o777);
        await disk.read(into, offset);
      },
    };
    await restore(at(`private.${format}`), { disk: watched });
    deepEqual(modes, [0o600], format);
    equal(statSync(at(`private.${format}`)).mode & 0o777, 0o600, format);
  }
});

// F13, F29
test('what a killed restore left goes with the next one to that name, and no other', async () => {
  writeFileSync(at('.left.raw.00000001.part'), 'left');
  writeFileSync(at('.other.raw.00000001.part'), 'of another');
  const disk = memoryDevice(contents);
  let during: string[] = [];
  const both: BlockDevice = {
    ...disk,
    async read(into, offset) {
      // While one is under way, another to the same name takes nothing from it.
      if (during.length === 0) {
        during = parts();
        await restore(at('left.raw'));
        deepEqual(parts(), during);
      }
      await disk.read(into, offset);
    },
  };
  await refused(at('left.raw'), /exists/, { disk: both });
  equal(during.length, 2);
  ok(!during.includes('.left.raw.00000001.part'));
  deepEqual(parts(), ['.other.raw.00000001.part']);
  unlinkSync(at('.other.raw.00000001.part'));
});

test('what another user has left beside it stays, and hinders no restore', async () => {
  const theirs = at('.shared.raw.00000001.part');
  writeFileSync(theirs, 'of another user');
  const files = faultyFs(world.files, (operation, path) =>
    operation === 'open' && path === theirs
      ? new SystemError('DENIED', 'permission denied')
      : undefined,
  );
  await restoreDisk({ ...world, files }, memoryDevice(contents), {
    ...{ to: at('shared.raw'), format: undefined, overwrite: false, store },
    ...{ mayErase: noDevice, onProgress: () => {} },
  });
  equal(readFileSync(theirs, 'utf8'), 'of another user');
  unlinkSync(theirs);
});

test('a directory that may be written to but not looked into takes a disk', async () => {
  const list = async (): Promise<never> => {
    throw new SystemError('DENIED', 'permission denied');
  };
  const options = {
    ...{ to: at('unseen.raw'), format: undefined, overwrite: false, store, mayErase: noDevice },
    onProgress: () => {},
  };
  const closed = { ...world, files: { ...world.files, list } };
  await restoreDisk(closed, memoryDevice(contents), options);
  deepEqual(readFileSync(at('unseen.raw')), Buffer.from(contents));
});

// F29
test('a name as long as names can be is one to restore to', async () => {
  for (const name of ['n'.repeat(255), `${'ü'.repeat(127)}n`, `n${'ü'.repeat(127)}`]) {
    await restore(at(name));
    deepEqual(readFileSync(at(name)), Buffer.from(contents));
  }
  deepEqual(parts(), []);
});

// F14
test('there must be room for the data before any of it is written, and for no holes', async () => {
  const free = 96 * 1024;
  const files = {
    ...world.files,
    space: async () => ({ totalBytes: 2 * free, freeBytes: free }),
  };
  const narrow = { ...world, files };
  const options = {
    ...{ to: at('large.raw'), format: undefined, overwrite: false, store, mayErase: noDevice },
    onProgress: () => {},
  };
  await rejects(restoreDisk(narrow, memoryDevice(contents), options), {
    code: 'NO_SPACE',
    message: /262144 bytes of data, and 98304 are free/,
  });
  ok(!existsSync(at('large.raw')));
  deepEqual(parts(), []);
  const whole = memoryDevice(contents);
  const thin: BlockDevice = {
    ...whole,
    extents: async (offset, length) => [
      { offset, length: free, kind: 'data' },
      { offset: offset + free, length: length - free, kind: 'zero' },
    ],
  };
  await restoreDisk(narrow, thin, options);
  equal(statSync(at('large.raw')).size, contents.length);
});

// F6
test('an image that a virtual machine writes to is not replaced', {
  skip: without('qemu-io'),
}, async () => {
  const path = at('running.raw');
  writeFileSync(path, contents);
  const child = spawn('qemu-io', ['-f', 'raw', path], { stdio: ['pipe', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  try {
    await refused(path, /in use/, { overwrite: true });
  } finally {
    child.stdin.end();
    await new Promise((resolve) => child.once('close', resolve));
  }
  await restore(path, { overwrite: true });
});

// F14, F5
test('beside its store a restored disk leaves sessions their space', async () => {
  const MiB = 2 ** 20;
  const own = at('store');
  mkdirSync(own);
  const enough = { totalBytes: 2 ** 40, freeBytes: 1024 * MiB + contents.length };
  let space = { ...enough, freeBytes: enough.freeBytes - 1 };
  const narrow = { ...world, files: { ...world.files, space: async () => space } };
  const options = {
    ...{ to: at('beside.raw'), format: undefined, overwrite: false, mayErase: noDevice },
    ...{ store: { directory: own }, onProgress: () => {} },
  };
  await rejects(restoreDisk(narrow, memoryDevice(contents), options), {
    code: 'NO_SPACE',
    message: /262143 are free there \(1073741824 more are kept for sessions/,
  });
  space = enough;
  await restoreDisk(narrow, memoryDevice(contents), options);
});

// F3
test('a disk of large sectors does not become an image whose partitions cannot be found', async () => {
  const large = Buffer.from(contents);
  large.write('EFI PART', 4096, 'latin1');
  for (const ending of ['vhd', 'vhdx', 'vmdk', 'vdi']) {
    await refused(at(`large-sectors.${ending}`), /sectors of 4096 bytes.*raw or qcow2/, {
      disk: memoryDevice(large),
    });
  }
  await restore(at('large-sectors.raw'), { disk: memoryDevice(large) });
  deepEqual(parts(), []);
});

test('a target that does not zero what it was asked to is found out', async () => {
  const half = contents.length / 2;
  const whole = memoryDevice(contents);
  const thin: BlockDevice = {
    ...whole,
    extents: async () => [
      { offset: 0, length: half, kind: 'data' },
      { offset: half, length: half, kind: 'zero' },
    ],
  };
  const target = (zero: WritableBlockDevice['zero'] | undefined) => {
    const device = memoryDevice(noise(contents.length, 9));
    return { ...device, ...(zero && { zero }) };
  };
  const how = { isEmpty: false, onProgress: () => {} };
  await rewriteDisk(thin, target(undefined), how);
  const lazy = target(async () => {});
  await rejects(rewriteDisk(thin, lazy, how), {
    code: 'VERIFY',
    message: new RegExp(`reads back other data at ${half}\\+${half}`),
  });
});

test('what was written is read back from the medium, and not from memory', async () => {
  const device = memoryDevice(new Uint8Array(contents.length));
  const rotten = {
    ...{ isEmpty: true, onProgress: () => {} },
    forget: () => device.write(new Uint8Array(1), 5000, 'durable'),
  };
  const wrong = rewriteDisk(memoryDevice(contents), device, rotten);
  await rejects(wrong, { code: 'VERIFY' });
  // The page cache of a file is dropped once all of it is on the medium.
  const calls: string[] = [];
  const noted = <T extends object>(file: T): T =>
    new Proxy(file, {
      get(of, name) {
        const value: unknown = Reflect.get(of, name);
        if (typeof value !== 'function') return value;
        return (...all: unknown[]): unknown => {
          if (name === 'sync' || name === 'drop') calls.push(name);
          return value.apply(of, all);
        };
      },
    });
  const files = {
    ...world.files,
    create: async (path: string) => noted(await world.files.create(path)),
    open: async (path: string, access: 'read' | 'write' | 'alone') =>
      noted(await world.files.open(path, access)),
  };
  await restoreDisk({ ...world, files }, memoryDevice(contents), {
    ...{ to: at('medium.raw'), format: undefined, overwrite: false, store },
    ...{ mayErase: noDevice, onProgress: () => {} },
  });
  deepEqual(calls.slice(0, 2), ['sync', 'drop']);
});

test('no disk is restored into the directory of the store', async () => {
  const own = at('a-store');
  mkdirSync(own);
  symlinkSync(own, at('a-link'));
  for (const directory of [own, at('a-link')]) {
    const refusal = restoreDisk(world, memoryDevice(contents), {
      ...{ to: join(own, 'x.raw'), format: undefined, overwrite: false, store: { directory } },
      ...{ mayErase: noDevice, onProgress: () => {} },
    });
    await rejects(refusal, { code: 'REFUSED', message: /is in the directory of the store/ });
  }
  deepEqual(readdirSync(own), []);
});

test('two disks are the same only if every byte is, of both', async () => {
  const one = memoryDevice(contents);
  const isSame = (other: Uint8Array) => areSame(one, memoryDevice(other), { onProgress: () => {} });
  equal(await isSame(contents), true);
  const other = Buffer.from(contents);
  other[other.length - 1]! ^= 1;
  equal(await isSame(other), false);
  equal(await isSame(Buffer.concat([contents, Buffer.alloc(4096)])), false);
  const zeros = {
    ...one,
    extents: async () => [{ offset: 0, length: contents.length, kind: 'zero' as const }],
  };
  equal(await areSame(zeros, one, { onProgress: () => {} }), false);
});
