import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { openNbdDisk } from '../src/block/nbd-client/nbd-disk.ts';
import { figure, seconds, section } from './figures.ts';
import { type Holdfast, holdfastIn } from './holdfast.ts';
import { dropCaches, median, type Run } from './measure.ts';

const GiB = 2 ** 30;
const ROUNDS = 9;
const COLD_ROUNDS = 5;

const COMMANDS: readonly (readonly [string, (holdfast: Holdfast) => Promise<Run>])[] = [
  ['--help', ({ runBare }) => runBare('--help')],
  ['session keep --help', ({ runBare }) => runBare('session', 'keep', '--help')],
  ['session list', ({ run }) => run('session', 'list')],
  ['store usage', ({ run }) => run('store', 'usage')],
];

/** How long commands take to start, here and in `before`, another checkout of this project. */
export async function benchStart(work: string, before: string | undefined): Promise<void> {
  const ours = await holdfastIn(join(work, 'start'));
  const trees = [ours];
  if (before !== undefined) trees.push(await holdfastIn(join(work, 'start-before'), before));
  section('Commands, from start to end, in turn');
  for (const [name, act] of COMMANDS) {
    show(name, await inTurn(trees, ROUNDS, act));
  }
  section('Command to first byte, in turn, page cache dropped');
  await benchFirstByte(work, trees);
}

/** From the command to the first byte of the disk in a client's hands. */
async function benchFirstByte(work: string, trees: readonly Holdfast[]): Promise<void> {
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
    const disk = ['--machine', machine, '--disk', `vda=${image}`];
    const backup = await inTurn(trees, 1, ({ run }) => run('backup', 'create', 'bench', ...disk));
    const first = await inTurn(trees, COLD_ROUNDS, async ({ recover }) => {
      dropCaches();
      const started = performance.now();
      await using serving = await recover(`${machine}@latest`);
      await using client = await openNbdDisk(serving.uri);
      await client.read(new Uint8Array(4096), 0);
      return { seconds: (performance.now() - started) / 1000 };
    });
    figure(`first byte of ${name}`, seconds(first[0]!), 'limit 300 ms', {
      ratio: 0.3 / first[0]!,
      aim: '1x',
    });
    if (trees.length > 1) show(`first byte of ${name}`, first);
    show('  its backup', backup);
    rmSync(image);
  }
}

/** Seconds, the median of the rounds of each tree: one round of each after the other, and none is always the first. */
async function inTurn(
  trees: readonly Holdfast[],
  rounds: number,
  act: (holdfast: Holdfast) => Promise<Pick<Run, 'seconds'>>,
): Promise<readonly number[]> {
  const times = trees.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    const order = [...trees.keys()];
    for (const index of round % 2 === 0 ? order : order.toReversed()) {
      times[index]!.push((await act(trees[index]!)).seconds);
    }
  }
  return times.map(median);
}

function show(name: string, [ours = 0, before]: readonly number[]): void {
  if (before === undefined) figure(name, seconds(ours), '');
  else figure(name, seconds(ours), `before ${seconds(before)}`, { ratio: before / ours });
}
