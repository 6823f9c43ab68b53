import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { openNbdDisk } from '../src/block/nbd-client/nbd-disk.ts';
import { figure, seconds, section } from './figures.ts';
import type { Holdfast } from './holdfast.ts';
import { dropCaches, median } from './measure.ts';

const GiB = 2 ** 30;
const ROUNDS = 5;

/** From the command to the first byte of the disk in a client's hands. */
export async function benchStart(work: string, holdfast: Holdfast): Promise<void> {
  section('Command to first byte, page cache dropped');
  for (const [name, size] of [
    ['2 GiB', 2 * GiB],
    ['8 TiB, sparse', 8192 * GiB],
  ] as const) {
    const machine = name.replace(/[^0-9A-Za-z]+/g, '-');
    const image = join(work, `${machine}.raw`);
    const fd = openSync(image, 'w');
    ftruncateSync(fd, size);
    for (let at = 0; at < 64; at++) writeSync(fd, `data ${at}`, Math.floor((size / 64) * at));
    closeSync(fd);
    const made = await holdfast.run(
      'backup',
      'create',
      'bench',
      '--machine',
      machine,
      '--disk',
      `vda=${image}`,
    );
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      dropCaches();
      const started = performance.now();
      await using serving = await holdfast.recover(`${machine}@latest`);
      await using disk = await openNbdDisk(serving.uri);
      await disk.read(new Uint8Array(4096), 0);
      times.push((performance.now() - started) / 1000);
    }
    const first = median(times);
    figure(`first byte of ${name}`, seconds(first), 'limit 300 ms', {
      ratio: 0.3 / first,
      aim: '1x',
    });
    figure(`  its backup`, seconds(made.seconds), '');
    spawnSync('rm', [image]);
  }
}
