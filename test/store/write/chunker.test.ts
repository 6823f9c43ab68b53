import { deepEqual, equal, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { CUTTING_DEFAULT, cutter } from '../../../src/store/write/chunker.ts';
import type { Cutting } from '../../../src/formats/store/catalog/set-record.ts';
import { noise } from '../../support/random.ts';

const PAGE = 4096;
const SEGMENT = 2 ** 20;
const KINDS: readonly Cutting[] = [CUTTING_DEFAULT, { kind: 'fixed', pages: 16 }];

test('cuts cover exactly the pages that are not zero, in order', async () => {
  const pages = fc.array(fc.boolean(), { minLength: 1, maxLength: 256 });
  for (const cutting of KINDS) {
    fc.assert(
      fc.property(pages, (pages) => {
        const segment = new Uint8Array(pages.length * PAGE);
        pages.forEach((has, page) => has && segment.set(noise(16, page), page * PAGE + PAGE - 16));
        const cuts = cutter(cutting)(segment);
        let last = 0;
        for (const { at, span } of cuts) {
          ok(at >= last && span > 0 && at + span <= pages.length);
          last = at + span;
        }
        const covered = new Set(
          cuts.flatMap(({ at, span }) => Array.from({ length: span }, (_, i) => at + i)),
        );
        pages.forEach((has, page) => has && ok(covered.has(page)));
        if (cutting.kind === 'content') equal(covered.size, pages.filter(Boolean).length);
      }),
      { numRuns: 60 },
    );
  }
});

test('cutting by content: blocks are about as long as they should be, and a change moves few of them', async () => {
  const segment = noise(SEGMENT, 5);
  const cut = cutter(CUTTING_DEFAULT);
  const before = cut(segment);
  const { pagesMin, pagesAverage, pagesMax } = CUTTING_DEFAULT as Extract<
    Cutting,
    { kind: 'content' }
  >;
  for (const { span } of before.slice(0, -1)) ok(span >= pagesMin && span <= pagesMax);
  const average = SEGMENT / PAGE / before.length;
  ok(average > pagesAverage / 2 && average < pagesAverage * 1.5, `${average} pages`);
  deepEqual(cut(segment), before);
  // Shifted by whole pages, as a file that was copied elsewhere: most blocks are found again.
  const moved = new Uint8Array(SEGMENT);
  moved.set(segment.subarray(0, SEGMENT - 5 * PAGE), 5 * PAGE);
  moved.set(noise(5 * PAGE, 6));
  const key =
    (bytes: Uint8Array) =>
    ({ at, span }: { at: number; span: number }) =>
      Buffer.from(bytes.subarray(at * PAGE, (at + span) * PAGE)).toString('latin1');
  const known = new Set(before.map(key(segment)));
  const again = cut(moved)
    .map(key(moved))
    .filter((it) => known.has(it));
  ok(again.length > before.length / 2, `${again.length} of ${before.length}`);
});
