import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'tap';
import { openNbdDisk } from '../../src/block/nbd-client/nbd-disk.ts';
import { expectDone, holdfastIn } from '../support/cli.ts';
import { makeRawDisk, sameFiles } from '../support/images.ts';
import { noise } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MiB = 2 ** 20;
const root = temporaryDirectory();
const { holdfast, backUp, start, store, passphrase } = await holdfastIn(root);
const image = join(root, 'disk.raw');
makeRawDisk(image);
await expectDone(backUp('vm', [`vda=${image}`]));

test('kill -9 again and again: what was answered is there, flushed or not', async () => {
  let session: string | undefined;
  const answered = new Map<number, Uint8Array>();
  for (let round = 0; round < 4; round++) {
    await using running =
      session === undefined
        ? await start('recover', 'vm@latest')
        : await start('recover', '--resume', session);
    session = running.ready.session;
    await using disk = await openNbdDisk(running.uri);
    for (const [at, bytes] of answered) {
      const got = new Uint8Array(bytes.length);
      await disk.read(got, at);
      equal(Buffer.compare(got, bytes), 0, `round ${round} at ${at}`);
    }
    const isFlushed = round % 2 === 0;
    const written = new Map<number, Uint8Array>();
    const writes = Array.from({ length: 40 }, async (_, n) => {
      const at = ((round * 40 + n) * 37_777) % (20 * MiB);
      const bytes = noise(1 + ((n * 997) % 9000), round * 100 + n);
      // Overlapping writes of one round would leave open which one stands.
      if ([...written].some(([other, it]) => at < other + it.length && other < at + bytes.length))
        return;
      written.set(at, bytes);
      await disk.write(bytes, at, isFlushed && n % 3 === 0 ? 'durable' : 'cached');
    });
    await Promise.all(writes);
    if (isFlushed) await disk.flush();
    for (const [at, bytes] of written) {
      for (const [other, old] of answered) {
        if (at < other + old.length && other < at + bytes.length) answered.delete(other);
      }
      answered.set(at, bytes);
    }
    void disk.write(noise(200_000, 5), 21 * MiB, 'cached').catch(() => {});
    await running.stop('SIGKILL');
    const shown = await expectDone(holdfast('store', 'cat', 'overlay', session, 'vda'));
    ok(shown.lines.some((line) => line['kind'] === 'pages'));
  }
  await expectDone(holdfast('session', 'discard', session!));
});

test('a backup that is killed leaves the store sound, and a repeat finds what was stored', async () => {
  const large = join(root, 'large.raw');
  const data = noise(8 * MiB, 123);
  writeFileSync(
    large,
    Buffer.concat(Array.from({ length: 24 }, (_, n) => Buffer.from(data).map((byte) => byte ^ n))),
  );
  const main = new URL('../../src/cli/main.ts', import.meta.url).pathname;
  const args = ['backup', 'create', 'nightly', '--machine', 'big', '--disk', `vda=${large}`];
  const common = ['--store', store, '--passphrase-file', passphrase, '--json'];
  for (const [signal, part] of [
    ['SIGKILL', 0.5],
    ['SIGINT', 0.6],
    ['SIGKILL', 0.8],
  ] as const) {
    const child = spawn(process.execPath, [main, ...args, ...common]);
    const closed = once(child, 'close');
    for await (const line of createInterface(child.stdout)) {
      // The last words of one that was killed may be half a line.
      if (!line.endsWith('}')) continue;
      const said = JSON.parse(line) as { event: string; position?: number; total?: number };
      const { event, position = 0, total = 0 } = said;
      if (event === 'progress' && position >= part * total) child.kill(signal);
    }
    const [code] = (await closed) as [number | null];
    // Later ones find most of it, and may be done before the signal comes.
    const ends = part === 0.5 ? [null] : signal === 'SIGKILL' ? [null, 0] : [130, 0];
    ok(ends.includes(code), `${signal}: ${code}`);
    const checked = await expectDone(holdfast('store', 'check', '--read-data'));
    deepEqual(checked.result['problems'], []);
  }
  const made = await expectDone(holdfast(...(args as [string])));
  ok(
    (made.result['storedBytes'] as number) < 190 * MiB,
    `${String(made.result['storedBytes'])} stored again`,
  );
  const out = join(root, 'large.out');
  await expectDone(holdfast('restore', 'disk', 'big@latest', 'vda', '--to', out));
  ok(sameFiles(out, large));
});

test('a second writer is refused by name of the first', async () => {
  const held = join(root, 'held.ts');
  const module = (path: string) =>
    JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
  writeFileSync(
    held,
    `import { openStore } from ${module('store/directory/store.ts')};
     import { lockStore } from ${module('store/directory/store-lock.ts')};
     import { realWorld } from ${module('sys/world.ts')};
     const world = realWorld();
     await lockStore(await openStore(world, process.argv[2]), 'session keep x');
     console.log('held');
     setInterval(() => {}, 1000);`,
  );
  const child = spawn(process.execPath, [held, store]);
  await once(child.stdout, 'data');
  const refused = await backUp('vm', [`vda=${image}`]);
  child.kill('SIGKILL');
  equal(refused.code, 3);
  match(refused.stderr, new RegExp(`session keep x \\(process ${child.pid} `));
});
