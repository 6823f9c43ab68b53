import { deepEqual, equal, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import {
  ABSENT,
  ZERO,
  type LocationRun,
  type PageLocations,
} from '../../../../src/block/sealed/map/page-locations.ts';
import { turnOfLoop } from '../../../../src/lib/turn-of-loop.ts';
import { crashingFs } from '../../../support/crashing-fs.ts';
import { all } from '../../../support/all.ts';
import { counted, loaded, PLACES, sum, type Setup } from '../../../support/page-locations.ts';
import { seeded } from '../../../support/random.ts';

/** 8 PiB. */
const LARGEST = 2 ** 41;
/** Small nodes, so that they are cut, joined and spelled out within few pages. */
const SMALL = { bodyLength: 16, turnNodes: 2, bodiesMin: 5 };

function isAlike(run: LocationRun, next: LocationRun): boolean {
  if (run.location <= ZERO || next.location <= ZERO) return run.location === next.location;
  const { location } = next;
  return run.location + run.count === location && location % PLACES !== 0;
}

/** Runs follow each other without gaps, none goes on from the one before, and none leaves its segment. */
function checkRuns(runs: readonly LocationRun[], { first, end }: { first: number; end: number }) {
  let at = first;
  runs.forEach((run, index) => {
    equal(run.first, at);
    ok(run.count > 0);
    ok(run.location <= ZERO || (run.location % PLACES) + run.count <= PLACES);
    ok(index === 0 || !isAlike(runs[index - 1]!, run), 'runs are merged');
    at += run.count;
  });
  equal(at, end);
}

function liveOf(runs: readonly LocationRun[]): Map<number, number> {
  const live = new Map<number, number>();
  for (const { location, count } of runs) {
    if (location <= ZERO) continue;
    const segment = Math.floor(location / PLACES);
    live.set(segment, (live.get(segment) ?? 0) + count);
  }
  return live;
}

/** Where pages of the model lie: the edges of what nodes can span, and of the disk. */
const CLUSTER = 96;
const CLUSTERS = [0, 2 ** 32 - CLUSTER / 2, 2 ** 40 + 7, LARGEST - CLUSTER] as const;
/** The places of the model as pages. */
const PAGES = CLUSTERS.flatMap((first) => Array.from({ length: CLUSTER }, (_, at) => first + at));

type Step =
  | { readonly do: 'set' | 'scatter'; at: number; count: number; location: number }
  | { readonly do: 'zero'; at: number; to: number }
  | { readonly do: 'turn' | 'settle' };

const place = fc.integer({ min: 0, max: PAGES.length - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constantFrom('set' as const, 'scatter' as const),
      at: place,
      count: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 })),
      location: fc
        .tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 2, max: 300 }))
        .map(([segment, at]) => segment * PLACES + at),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('zero' as const), at: place, to: place }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('turn' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('settle' as const) }) },
);

function modelOf() {
  const pages = PAGES.map(() => ABSENT);
  return {
    set(at: number, count: number, location: number) {
      for (let n = 0; n < count; n++) pages[at + n] = location + n;
    },
    zero(at: number, to: number) {
      pages.fill(ZERO, at, to);
    },
    async checkRuns(map: PageLocations) {
      for (const [at, first] of CLUSTERS.entries()) {
        await loaded(map, first, CLUSTER);
        const runs = map.runs(first, CLUSTER);
        checkRuns(runs, { first, end: first + CLUSTER });
        for (const { first: page, count, location } of runs) {
          for (let n = 0; n < count; n++) {
            const is = location > ZERO ? location + n : location;
            equal(is, pages[at * CLUSTER + page - first + n], `page ${page + n}`);
          }
        }
      }
    },
    async check(map: PageLocations) {
      for (const [at, page] of PAGES.entries()) {
        await loaded(map, page, 1);
        equal(map.get(page), pages[at], `page ${page}`);
        ok(pages[at] === ZERO || !map.isZero(page, 1));
      }
    },
  };
}

/** Makes the steps, and compares now and then. */
async function follow(steps: readonly Step[], setup: Setup): Promise<void> {
  const { map, live, set } = counted(LARGEST, setup);
  await using _map = map;
  const model = modelOf();
  let underWay: Promise<void>[] = [];
  for (const [step, next] of steps.entries()) {
    if (next.do === 'set') {
      const count = Math.min(next.count, CLUSTER - (next.at % CLUSTER));
      await set(PAGES[next.at]!, count, next.location);
      model.set(next.at, count, next.location);
    } else if (next.do === 'scatter') {
      // Each a piece of its own.
      for (let n = 0; n < next.count && next.at + 2 * n < PAGES.length; n++) {
        const at = next.at + 2 * n;
        await set(PAGES[at]!, 1, next.location + 3 * n);
        model.set(at, 1, next.location + 3 * n);
      }
    } else if (next.do === 'zero') {
      const [at, last] = [Math.min(next.at, next.to), Math.max(next.at, next.to)];
      const first = PAGES[at]!;
      const count = PAGES[last]! + 1 - first;
      model.zero(at, last + 1);
      underWay.push(map.zero(first, count));
    } else if (next.do === 'turn') {
      await turnOfLoop();
    } else {
      await Promise.all(underWay);
      underWay = [];
    }
    // A look sets zeros that are under way: not always.
    if (step % 16 === 7) await model.check(map);
    if (step % 16 === 15) await model.checkRuns(map);
  }
  await model.check(map);
  await Promise.all(underWay);
  await model.check(map);
  const written = await all(map.written());
  deepEqual(liveOf(written), live);
  equal(map.dataPages, sum(live.values()));
  await model.checkRuns(map);
  if (setup.budget === undefined) {
    const runs = map.runs(0, LARGEST);
    checkRuns(runs, { first: 0, end: LARGEST });
    deepEqual(
      written,
      runs.filter(({ location }) => location !== ABSENT),
    );
  }
}

test('a map is what was set last, page by page, and counts what each segment has', async () => {
  const steps = fc.array(step, { maxLength: 120 });
  await fc.assert(
    fc.asyncProperty(steps, (list) => follow(list, { limits: SMALL })),
    { numRuns: 200 },
  );
});

test('a map whose nodes go to a scratch file and come back is the same', async () => {
  const steps = fc.array(step, { maxLength: 120 });
  const { files } = crashingFs(seeded(1));
  let made = 0;
  const scratch = () => files.create(`/scratch-${++made}`);
  await fc.assert(
    fc.asyncProperty(steps, (list) => follow(list, { limits: SMALL, budget: 0, scratch })),
    { numRuns: 200 },
  );
  ok(made > 10, `${made} of 300 maps went to a scratch file`);
});
