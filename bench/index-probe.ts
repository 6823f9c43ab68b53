import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { levelIndex } from '../src/store/index/block-index.ts';
import { syntheticDigest } from './index-growth.ts';
import { dropCaches } from './measure.ts';

/* node --expose-gc index-probe.ts DIRECTORY BLOCKS MEMORY: opens an index, looks blocks up, and prints what it found as JSON. */

const [directory, blocks, memory] = [process.argv[2]!, ...process.argv.slice(3).map(Number)];
const LOOKUPS = 30_000;
const ROUNDS = 3;

export interface IndexProbe {
  readonly openMs: number;
  /** Look-ups a second: of blocks that are there, and of new ones. */
  readonly cold: Rates;
  readonly hot: Rates;
  /** Bytes that the index has added to this process. */
  readonly anonymous: number;
  readonly mapped: number;
}

interface Rates {
  readonly there: number;
  readonly absent: number;
}

function resident(kind: 'RssAnon' | 'RssFile'): number {
  globalThis.gc?.();
  const status = readFileSync('/proc/self/status', 'latin1');
  return 1024 * Number(new RegExp(`${kind}:\\s+(\\d+)`).exec(status)?.[1]);
}

function rate(digests: readonly Uint8Array[], find: (digest: Uint8Array) => unknown): number {
  const started = performance.now();
  for (const digest of digests) find(digest);
  return (1000 * digests.length) / (performance.now() - started);
}

const sample = (make: () => Uint8Array) => Array.from({ length: LOOKUPS }, make);
const there = () => sample(() => syntheticDigest(Math.floor(Math.random() * blocks!), blocks!));
const absent = () => sample(() => randomBytes(32));
// What the look-ups themselves take stands before and after.
const rounds = Array.from({ length: ROUNDS }, () => ({ there: there(), absent: absent() }));
dropCaches();
const before = { anonymous: resident('RssAnon'), mapped: resident('RssFile') };
const started = performance.now();
await using index = await levelIndex(directory, memory!);
const openMs = performance.now() - started;
const rates = rounds.map((round) => ({
  there: rate(round.there, index.get),
  absent: rate(round.absent, index.get),
}));
const probe: IndexProbe = {
  openMs,
  cold: rates[0]!,
  hot: rates.at(-1)!,
  anonymous: resident('RssAnon') - before.anonymous,
  mapped: resident('RssFile') - before.mapped,
};
process.stdout.write(JSON.stringify(probe));
