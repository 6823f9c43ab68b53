import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openEngine, type SecretSource } from '../../../src/engine/base/engine.ts';
import { scrub } from '../../../src/engine/upkeep/scrub.ts';
import { dueShare } from '../../../src/engine/upkeep/scrub-pace.ts';
import { readScrub } from '../../../src/engine/upkeep/scrub-record.ts';
import { scrubFile } from '../../../src/formats/store/service/scrub.ts';
import { PACK_HEADER_LENGTH } from '../../../src/formats/store/packs/pack.ts';
import type { Report } from '../../../src/operations/events.ts';
import { backUp, type EngineHome, KEY } from '../../support/engine.ts';
import { copiedStore, images } from '../../support/two-machines.ts';

const MiB = 2 ** 20;
const DAY = 86_400;

async function place() {
  const store = await copiedStore();
  return { home: { store, open: () => openEngine(store) } };
}
type Home = Pick<EngineHome, 'store' | 'open'>;

interface Run {
  readonly period?: number;
  readonly secrets?: SecretSource;
  readonly report?: Report;
  readonly signal?: AbortSignal;
}

async function run({ open }: Home, { period, ...more }: Run = {}) {
  await using engine = await open();
  const options = { secrets: KEY, signal: new AbortController().signal, report() {}, ...more };
  return scrub(engine, { period }, options);
}

const packs = ({ store }: Home): string[] =>
  readdirSync(join(store, 'packs', '00000'))
    .filter((name) => name.endsWith('.pack'))
    .sort()
    .map((name) => join(store, 'packs', '00000', name));

function flip(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset]! ^= 1;
  writeFileSync(path, bytes);
}

test('a scrub names rot and what it hits, until a backup has stored it again', async () => {
  const { home } = await place();
  const whole = await run(home);
  deepEqual([whole.problems, whole.unverified, whole.wanted, whole.hurt], [[], [], 0, []]);
  deepEqual([whole.donePacks, whole.allPacks, whole.summed], [4, 4, 0]);
  ok(whole.ended !== null && whole.opened > 60, 'all is decoded');

  flip(packs(home)[0]!, PACK_HEADER_LENGTH + 500);
  const hurt = await run(home);
  match(hurt.problems[0]!.where, /00000001\.pack$/);
  match(hurt.problems[1]!.what, /^1 blocks and 0 parts of the manifest cannot be read$/);
  equal(hurt.problems.length, 2);
  equal(hurt.wanted, 1);
  deepEqual(
    hurt.hurt.map(({ set, machine, disk, blocks, nodes, places }) => [
      ...[set, machine, disk, blocks, nodes],
      places[0]?.offset,
    ]),
    [['nightly', 'vm1', 'vda', 1, 0, 0]],
  );
  await using engine = await home.open();
  const lines = (await readScrub(engine.store, home.store)).hurt;
  match(lines.join(), /^nightly\/vm1-[^/]+\/vda \(.+ cannot be read\)$/);

  await backUp(home, 'vm1', images[0]);
  const mended = await run(home);
  deepEqual([mended.problems, mended.wanted, mended.hurt], [[], 0, []]);
});

test('the blocks of a lost pack are wanted, and stored again by the next backup', async () => {
  const { home } = await place();
  rmSync(packs(home)[0]!);
  const lost = await run(home);
  match(lost.problems[0]!.where, /^[^/]+\/vda$/);
  equal(lost.hurt[0]!.bytes, 2 * MiB);
  ok(lost.wanted >= 30);
  await backUp(home, 'vm1', images[0]);
  const mended = await run(home);
  deepEqual([mended.problems, mended.wanted, mended.hurt], [[], 0, []]);
});

test('what several recovery points share hurts each of them', async () => {
  const { home } = await place();
  await backUp(home, 'vm1', images[0]);
  flip(packs(home)[0]!, PACK_HEADER_LENGTH + 500);
  const { hurt } = await run(home);
  deepEqual(
    hurt.map(({ machine, blocks }) => [machine, blocks]),
    [
      ['vm1', 1],
      ['vm1', 1],
    ],
  );
});

test('a lost pack of nodes hurts what is below them', async () => {
  const { home } = await place();
  // Its frames are damaged one by one: a lost root is one part that cannot be read.
  const path = packs(home)[1]!;
  for (let at = PACK_HEADER_LENGTH + 100; at < readFileSync(path).length; at += 300) flip(path, at);
  const { hurt, wanted } = await run(home);
  ok(wanted > 0);
  deepEqual(
    hurt.map(({ machine, nodes, bytes }) => [machine, nodes, bytes]),
    [['vm1', 1, 2 * MiB]],
  );
});

test('a scrub that is canceled goes on where it was', async () => {
  const { home } = await place();
  const canceled = new AbortController();
  let seen = 0;
  const report: Report = () => void (++seen === 2 && canceled.abort(new Error('canceled')));
  await rejects(run(home, { report, signal: canceled.signal }), /canceled/);
  const rest = await run(home);
  deepEqual([rest.packs, rest.donePacks], [2, 4]);
  ok(rest.ended !== null);
  equal((await run(home)).packs, 4, 'the next pass begins at the start');
});

test('runs at regular times read everything within the period, and then wait for its end', async () => {
  const { home } = await place();
  /** As if that had happened so many days earlier. */
  async function daysPass(days: number): Promise<void> {
    await using engine = await home.open();
    const { pass, lastRun, hurt } = await readScrub(engine.store, home.store);
    const earlier = (time: string): string =>
      new Date(Date.parse(time) - days * DAY * 1000).toISOString();
    const moved = {
      pass: { ...pass!, started: earlier(pass!.started) },
      lastRun: earlier(lastRun!),
    };
    writeFileSync(join(home.store, 'scrub.json'), scrubFile.encode({ ...moved, hurt }, 'checked'));
  }
  const period = 4 * DAY;
  const read: number[] = [];
  for (let day = 0; day < 6; day++) {
    const { packs: count, ended } = await run(home, { period });
    read.push(count);
    equal(ended !== null, day >= 3 && day < 4, `day ${day}`);
    await daysPass(1);
  }
  equal(
    read.slice(0, 4).reduce((a, b) => a + b),
    4,
  );
  ok(read[0]! < 4, 'not all at once');
  ok(read[4]! > 0, 'a new pass begins');
});

test('what could not be verified is said, with the reason', async () => {
  const { home } = await place();
  const { unverified, summed, opened, problems } = await run(home, {
    secrets: async () => undefined,
  });
  deepEqual([opened, problems], [0, []]);
  ok(summed > 60);
  match(unverified[0]!.what, /^\d+ blocks and nodes of set "nightly"$/);
  match(unverified[0]!.why, /the key of the set was not given: only their checksums/);
  flip(packs(home)[2]!, PACK_HEADER_LENGTH + 500);
  equal((await run(home, { secrets: async () => undefined })).problems.length, 1);
});

test('a damaged record of the scrub begins a new pass', async () => {
  const { home } = await place();
  await run(home);
  writeFileSync(join(home.store, 'scrub.json'), '{"format": "holdfast-scrub"}');
  equal((await run(home, { period: 30 * DAY })).donePacks, 1);
});

test('a record of the scrub that cannot be read counts as none', async () => {
  const { home } = await place();
  mkdirSync(join(home.store, 'scrub.json'));
  await using engine = await home.open();
  equal((await readScrub(engine.store, home.store)).pass, undefined);
});

test('what an earlier run of the pass found stays with the pass', async () => {
  const { home } = await place();
  flip(packs(home)[0]!, 10);
  const first = await run(home, { period: 4 * DAY });
  deepEqual([first.problems.length, first.found, first.ended], [1, 1, null]);
  flip(packs(home)[0]!, 10);
  const last = await run(home);
  deepEqual([last.problems, last.found], [[], 1]);
  ok(last.ended !== null);
  equal((await run(home)).found, 0, 'the next pass');
});

test('how much is due', async () => {
  const now = new Date('2026-11-30T12:00:00Z');
  const before = (days: number) => new Date(now.getTime() - days * DAY * 1000).toISOString();
  const pass = { next: 1, packs: 1, bytes: 1, opened: 1, summed: 0, problems: 0, ended: undefined };
  const share = (started: string | undefined, lastRun: string | undefined, ended?: string) =>
    dueShare(
      { pass: started ? { ...pass, started, ended } : undefined, lastRun },
      { now, period: 10 * DAY },
    );
  equal(dueShare({ pass: undefined, lastRun: undefined }, { now, period: undefined }), 1);
  equal(share(undefined, undefined), 0.1);
  equal(share(before(4), before(1)), 0.5);
  equal(share(before(5), before(2)), 0.7);
  equal(share(before(40), before(36)), 1);
  equal(share(before(4), before(1), before(1)), 0);
  equal(share(before(10), before(1), before(1)), 0.1);
  // The clock was ahead once.
  equal(share(before(-400), before(-300), before(-300)), 0.1);
  equal(share(before(-400), before(-300)), 0.1);
});
