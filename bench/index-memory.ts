import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { appendFileSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { GiB, KiB, MiB, TiB } from '../src/lib/sizes.ts';
import { indexPath } from '../src/store/index/block-index.ts';
import { figure, seconds, section, skipped } from './figures.ts';
import { holdfastIn } from './holdfast.ts';
import { growIndex } from './index-growth.ts';
import type { IndexProbe } from './index-probe.ts';

const PROBE = new URL('./index-probe.ts', import.meta.url).pathname;
const BLOCK_LENGTH = 64 * KiB;
/** On the disk; with what a compaction writes twice. */
const ENTRY_LENGTH = 64;
const INDEX_MEMORY = 128 * MiB;
const RESIDENT_MAX = 400 * MiB;
/** What is backed up: all of it is new to the store. */
const DISK_LENGTH = GiB;

/** Memory, time to open and look-ups of an index of so many TiB of contents, and of a backup into its store. */
export async function benchIndex(work: string, sizes: readonly number[]): Promise<void> {
  section('The index of blocks as the store grows (synthetic: blocks of 64 KiB)');
  const image = join(work, 'noise.raw');
  const part = new Uint8Array(64 * MiB);
  for (let at = 0; at < DISK_LENGTH; at += part.length) appendFileSync(image, randomFillSync(part));
  for (const tib of sizes) {
    const blocks = Math.round((tib * TiB) / BLOCK_LENGTH);
    const { bavail, bsize } = statfsSync(work);
    const wanted = blocks * ENTRY_LENGTH;
    if (bavail * bsize < wanted + 4 * GiB) {
      skipped(`${tib} TiB`, `the index takes ${(wanted / GiB).toFixed(0)} GiB on the disk`);
      continue;
    }
    const home = join(work, `index-${tib}`);
    await benchSize(home, { tib, blocks, image });
    rmSync(home, { recursive: true });
  }
  rmSync(image);
}

interface Size {
  readonly tib: number;
  readonly blocks: number;
  readonly image: string;
}

async function benchSize(home: string, { tib, blocks, image }: Size): Promise<void> {
  const name = `${tib} TiB (${(blocks / 1e6).toFixed(1)} M blocks)`;
  const { store, run } = await holdfastIn(home);
  const started = performance.now();
  await growIndex(store, blocks, INDEX_MEMORY);
  figure(`${name}: grown in`, seconds((performance.now() - started) / 1000), '');
  const index = indexPath({ directory: store });
  const args = ['--expose-gc', PROBE, index, String(blocks), String(INDEX_MEMORY)];
  const probe = JSON.parse(
    execFileSync(process.execPath, args, { encoding: 'utf8' }),
  ) as IndexProbe;
  figure(`${name}: opened in`, seconds(probe.openMs / 1000), '');
  for (const kind of ['cold', 'hot'] as const) {
    const { there, absent } = probe[kind];
    figure(`${name}: look-ups, ${kind}`, `${perSecond(there)} there`, `${perSecond(absent)} new`);
  }
  figure(
    `${name}: memory of the index`,
    `${mib(probe.anonymous)} own`,
    `${mib(probe.mapped)} mapped`,
    { ratio: INDEX_MEMORY / Math.max(1, probe.anonymous + probe.mapped), aim: '1x of 128 MiB' },
  );
  const disk = ['--disk', `vda=${image}`];
  const { peakBytes, seconds: took } = await run(
    'backup',
    'create',
    'bench',
    '--machine',
    'vm',
    ...disk,
  );
  figure(`${name}: a backup of 1 GiB`, seconds(took), `${mib(peakBytes)} at most`, {
    ratio: RESIDENT_MAX / peakBytes,
    aim: '1x of 400 MiB',
  });
}

const perSecond = (rate: number): string => `${Math.round(rate / 1000)}k/s`;
const mib = (bytes: number): string => `${(bytes / MiB).toFixed(0)} MiB`;
