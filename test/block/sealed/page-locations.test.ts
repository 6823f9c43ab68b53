import { deepEqual, equal, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import {
  ABSENT,
  pageLocations,
  ZERO,
  type LocationRun,
  type PageLocations,
} from '../../../src/block/sealed/page-locations.ts';
import { turnOfLoop } from '../../../src/lib/turn-of-loop.ts';

const PLACES = 2 ** 14;
/** 8 PiB. */
const LARGEST = 2 ** 41;
/** Small nodes, so that they are cut, joined and spelled out within few pages. */
const SMALL = { bodyLength: 16, turnNodes: 2 };

/** A disk's map with the live pages of each segment, as the log counts them. */
function counted(pages: number, limits?: typeof SMALL) {
  const live = new Map<number, number>();
  const count = (segment: number, more: number) => {
    const now = (live.get(segment) ?? 0) + more;
    ok(now >= 0, 'no segment loses more than it has');
    if (now === 0) live.delete(segment);
    else live.set(segment, now);
  };
  const map = pageLocations({
    pages,
    replaced: (segment, lost) => count(segment, -lost),
    ...(limits && { limits }),
  });
  return {
    map,
    live,
    async set(first: number, pages: number, location: number) {
      while (!map.ready(first, pages)) await map.load(first, pages);
      count(Math.floor(location / PLACES), pages);
      map.set(first, pages, location);
    },
  };
}

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const value of values) list.push(value);
  return list;
}

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
  | { readonly do: 'set'; at: number; count: number; location: number }
  | { readonly do: 'zero'; at: number; to: number }
  | { readonly do: 'turn' | 'settle' };

const place = fc.integer({ min: 0, max: PAGES.length - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('set' as const),
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

/** A page of the model: what it is, and zeros that are under way over it. */
interface Page {
  location: number;
  readonly zeros: Set<number>;
}

function modelOf() {
  const pages: Page[] = PAGES.map(() => ({ location: ABSENT, zeros: new Set() }));
  let zeros = 0;
  return {
    pages,
    set(at: number, count: number, location: number) {
      for (let n = 0; n < count; n++) {
        const page = pages[at + n]!;
        page.location = location + n;
        page.zeros.clear();
      }
    },
    beginZero(at: number, to: number) {
      const number = ++zeros;
      const range = pages.slice(at, to);
      for (const page of range) page.zeros.add(number);
      return () => {
        for (const page of range) if (page.zeros.delete(number)) page.location = ZERO;
      };
    },
    check(map: PageLocations) {
      pages.forEach(({ location, zeros }, at) => {
        const is = map.get(PAGES[at]!);
        ok(is === location || (zeros.size > 0 && is === ZERO), `page ${PAGES[at]} is ${is}`);
      });
    },
  };
}

test('a map is what was set last, page by page, and counts what each segment has', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
      const { map, live, set } = counted(LARGEST, SMALL);
      await using _map = map;
      const model = modelOf();
      let underWay: Promise<void>[] = [];
      for (const next of steps) {
        if (next.do === 'set') {
          const count = Math.min(next.count, CLUSTER - (next.at % CLUSTER));
          await set(PAGES[next.at]!, count, next.location);
          model.set(next.at, count, next.location);
        } else if (next.do === 'zero') {
          const [at, last] = [Math.min(next.at, next.to), Math.max(next.at, next.to)];
          const first = PAGES[at]!;
          const end = model.beginZero(at, last + 1);
          underWay.push(map.zero(first, PAGES[last]! + 1 - first).then(end));
        } else if (next.do === 'turn') {
          await turnOfLoop();
        } else {
          await Promise.all(underWay);
          underWay = [];
        }
        model.check(map);
      }
      await Promise.all(underWay);
      model.check(map);
      ok(model.pages.every(({ zeros }) => zeros.size === 0));
      const runs = map.runs(0, LARGEST);
      checkRuns(runs, { first: 0, end: LARGEST });
      deepEqual(liveOf(runs), live);
      equal(
        map.dataPages,
        [...live.values()].reduce((sum, count) => sum + count, 0),
      );
      deepEqual(
        await all(map.written()),
        runs.filter(({ location }) => location !== ABSENT),
      );
    }),
    { numRuns: 300 },
  );
});
