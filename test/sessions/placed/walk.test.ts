import * as fc from 'fast-check';
import { test } from 'tap';
import { PLACED_EVENTS } from '../../../src/sessions/placed/placed-state.ts';
import type { Mishap } from '../../hypervisors/rig.ts';
import { end, raise, SAYS, say, survives, writeAsGuest } from './every-case.ts';
import { machineIn, newLife, newPlace, placementIn, recordOf, step } from './rig.ts';

const SEEDS = Number(process.env['SEEDS'] ?? 3);
const MISHAPS: readonly Mishap[] = ['cut-before', 'cut-after', 'BUSY', 'FAILED', 'NO_SPACE'];

const turn = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('steps' as const), count: fc.nat(12) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('ask' as const),
      event: fc.constantFrom(...PLACED_EVENTS.filter((it) => it !== 'abandon')),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('crash' as const),
      count: fc.integer({ min: 1, max: 30 }),
      when: fc.constantFrom('before' as const, 'after' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      every: fc.integer({ min: 2, max: 9 }),
      mishap: fc.constantFrom(...MISHAPS),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('say' as const), says: fc.constantFrom(...SAYS) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('back' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      seed: fc.integer({ min: 1, max: 9 }),
    }),
  },
);
const turns = fc.array(turn, { maxLength: 25 });

test('whatever comes in whatever order, what was promised of sessions on hypervisors holds', async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('here', 'there'), turns, async (writes, walked) => {
      const place = await newPlace({}, undefined, writes);
      let life = newLife(place);
      for (const it of walked) {
        if (place.isCleaned || recordOf(place).phase === 'ready') break;
        switch (it.do) {
          case 'steps':
            for (let n = 0; n < it.count && !place.isCleaned; n++) {
              if (!(await survives(() => step(life)))) life = newLife(place);
            }
            break;
          case 'ask':
            if (!(await survives(() => raise(place, life, it.event)))) life = newLife(place);
            place.refusal = undefined;
            break;
          case 'crash':
            life = newLife(place, it);
            break;
          case 'fail':
            life = newLife(place, undefined, (count) =>
              count % it.every === 0 ? it.mishap : undefined,
            );
            break;
          case 'say': {
            // What was written there since is then nowhere: no hypervisor may do that to us.
            const disks = [...(machineIn(place)?.disks.values() ?? [])];
            const hasMoved = disks.some(({ layers }) => place.host.volumes.has(layers[0]!));
            if (it.says !== 'gone' || !hasMoved) await say(place, it.says);
            break;
          }
          case 'back':
            await place.rig.setUp(true);
            break;
          case 'write':
            await writeAsGuest(place, it.seed);
            break;
        }
      }
      await place.rig.setUp(true);
      if (!place.isCleaned && recordOf(place).phase !== 'ready') {
        if (placementIn(place).waits)
          await survives(() => newLife(place).session.ask({ kind: 'retry' }));
      }
      await end(place, newLife(place));
    }),
    { numRuns: 30 * SEEDS },
  );
});
