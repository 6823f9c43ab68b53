import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { PACK_HEADER_LENGTH } from '../../src/formats/store/packs/pack.ts';
import { expectDone, startCli } from '../support/cli.ts';
import { lookup, read } from '../support/nfs-calls.ts';
import { OPEN_NFS, rpcClient } from '../support/nfs-client.ts';
import { without } from '../support/programs.ts';
import { noise } from '../support/random.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// One rotten byte, as all who read the disk see it, from the first error until a backup has mended it.
const PAGE = 4096;
const SIZE = 3 * 2 ** 20;
const EIO = 5;
const root = temporaryDirectory();
const home = serviceHome(root);
const { holdfast } = home;
const image = join(root, 'vm.raw');
const contents = noise(SIZE, 1);
writeFileSync(image, contents);

interface Alarm {
  readonly alarm: string;
  readonly message: string;
}

async function alarmText(): Promise<string | undefined> {
  const { result } = await expectDone(holdfast('alarm', 'list'));
  const alarms = result['alarms'] as readonly Alarm[];
  return alarms.find(({ alarm }) => alarm === 'damaged-frames')?.message;
}

function flip(path: string, offset: number): void {
  const file = openSync(path, 'r+');
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, offset);
  byte[0]! ^= 1;
  writeSync(file, byte, 0, 1, offset);
  closeSync(file);
}

/** Pages that differ from what was backed up: read as zeros, once for each error that `stderr` names. */
function badIn(copy: string, { stderr, errors }: { stderr: string; errors: number }): number[] {
  const found = readFileSync(copy);
  equal(found.length, SIZE);
  const pages = Array.from({ length: SIZE / PAGE }, (_, page) => page * PAGE);
  const of = (bytes: Uint8Array, at: number): Uint8Array => bytes.subarray(at, at + PAGE);
  const bad = pages.filter((at) => Buffer.compare(of(found, at), of(contents, at)) !== 0);
  ok(bad.every((at) => of(found, at).every((byte) => byte === 0)));
  equal(stderr.match(/Input\/output error/g)?.length ?? 0, bad.length * errors);
  return bad;
}

/** QEMU reads on after an error, sector by sector, over the same connection. */
function badOverNbd(uri: string): number[] {
  const to = join(root, 'salvaged.raw');
  const options = ['--salvage', '-f', 'raw', '-O', 'raw', uri, to];
  const { stderr } = spawnSync('qemu-img', ['convert', ...options], { encoding: 'utf8' });
  return badIn(to, { stderr, errors: PAGE / 512 });
}

async function badOverNfs(port: number, directory: string): Promise<number[]> {
  await using client = await rpcClient(port);
  const { handle: at } = await client.mount(directory);
  const { handle: disk } = await lookup(client, at, 'vda.raw');
  const bad: number[] = [];
  for (let page = 0; page < SIZE; page += PAGE) {
    const { status, data } = await read(client, disk, page, PAGE);
    if (status === 0) equal(Buffer.compare(data, contents.subarray(page, page + PAGE)), 0);
    else {
      equal(status, EIO);
      bad.push(page);
    }
  }
  return bad;
}

/** Copied as a person rescues a disk: through the page cache with its read-ahead, and on after errors. */
function badInMount(directory: string, point: string): number[] {
  const from = join(directory, 'sets/nightly/vm', point, 'vda.raw');
  const to = join(root, 'rescued.raw');
  const options = [`if=${from}`, `of=${to}`, `bs=${PAGE}`, 'conv=noerror,sync'];
  const { stderr } = spawnSync('dd', options, { encoding: 'utf8' });
  return badIn(to, { stderr, errors: 1 });
}

const noMount = process.getuid?.() !== 0 || !existsSync('/dev/fuse');

test('one rotten block is an error for its pages only, named by an alarm, until a backup stores it again', {
  skip: without('qemu-img', 'qemu-io', 'dd'),
}, async (t) => {
  await using service = await serviceWith(home, image);
  const words = ['recover', 'vm@latest', '--detach', '--nfs', ...OPEN_NFS];
  const ports = ['--nfs-port', '0', '--mount-port', '0', '--portmap-port', '0'];
  const { result } = await expectDone(holdfast(...words, ...ports));
  const { exports, nfs, point } = result as {
    exports: { uri: string }[];
    nfs: { directory: string; ports: { nfs: number } };
    point: string;
  };
  const mountAt = join(root, 'mount');
  mkdirSync(mountAt);
  const secret = ['--store', home.store, '--passphrase-file', home.passphrase, '--json'];
  await using mount = noMount ? undefined : await startCli(['mount', mountAt, ...secret]);
  const whoReads = {
    nbd: async () => badOverNbd(exports[0]!.uri),
    nfs: () => badOverNfs(nfs.ports.nfs, nfs.directory),
    ...(mount && { fuse: async () => badInMount(mountAt, point) }),
  };
  const name = '00000001.pack';
  flip(join(home.store, 'packs/00000', name), PACK_HEADER_LENGTH + 500_000);

  const bad = await whoReads.nbd();
  ok(bad.length > 0 && bad.length < 64, `${bad.length} pages`);
  for (const [who, pages] of Object.entries(whoReads)) deepEqual(await pages(), bad, who);
  const { stdout } = spawnSync('qemu-io', ['-r', '-f', 'raw', exports[0]!.uri], {
    encoding: 'utf8',
    input: `read ${bad[0]} 4k\nread ${bad.at(-1)! + PAGE} 4k\n`,
  });
  match(stdout, /read failed: Input\/output error[^]*read 4096\/4096 bytes/);

  // A check without the contents: it finds the mark, and the service looks again.
  const checked = await holdfast('store', 'check');
  equal(checked.code, 6);
  match(checked.stdout, new RegExp(name));
  await until('an alarm', async () => (await alarmText()) !== undefined);
  match(
    (await alarmText())!,
    new RegExp(`: nightly/${point}/vda \\(.*\\. .* Full backups of these`),
  );
  const scrub = await holdfast('store', 'scrub');
  equal(scrub.code, 6);
  const [hurt, ...others] = scrub.lines.find((line) => 'hurt' in line)!['hurt'] as {
    set: string;
    point: string;
    disk: string;
    places: { offset: number; length: number }[];
  }[];
  deepEqual([hurt!.set, hurt!.point, hurt!.disk, others.length], ['nightly', point, 'vda', 0]);
  deepEqual(hurt!.places, [{ offset: bad[0], length: bad.length * PAGE }]);

  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  const again = await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  const storedBytes = again.result['storedBytes'] as number;
  ok(storedBytes > 0 && storedBytes < 300_000, `${storedBytes} bytes stored`);
  for (const [who, pages] of Object.entries(whoReads)) deepEqual(await pages(), [], who);
  await until('it has ended', async () => (await alarmText()) === undefined);
  if (noMount) t.comment('without the mount: only root may, on a kernel with FUSE');
  equal(await mount?.stop('SIGTERM'), noMount ? undefined : 0);
  equal(await service.stop('SIGTERM'), 0);
});
