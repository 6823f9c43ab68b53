import { ok } from 'node:assert/strict';
import { test } from 'tap';
import type { PlacedPhase } from '../../../src/formats/store/sessions/session.ts';
import { PLACED_EVENTS } from '../../../src/sessions/placed/placed-state.ts';
import { judge, SAYS } from './every-case.ts';

const PHASES: readonly PlacedPhase[] = [
  ...(['preparing', 'placing', 'running', 'copying', 'pivoting'] as const),
  ...(['settling', 'leaving', 'withdrawing', 'keeping', 'cleaning'] as const),
];
const SEEDS = Number(process.env['SEEDS'] ?? 3);
/** No case has as many effects. */
const EFFECTS_MAX = 200;

/** With few seeds, the crash is at one effect of each case, others in other cases; with many, at each. */
function* effects(ordinal: number): Generator<number> {
  if (SEEDS <= 5) yield* few(ordinal);
  else for (let count = 1; count < EFFECTS_MAX; count++) yield count;
}

function* few(ordinal: number): Generator<number> {
  for (let seed = 0; seed < SEEDS; seed++) yield 1 + ((ordinal * 7 + seed * 5) % 24);
}

const CASES = [
  ...PHASES.map((phase) => ({ phase, isOffline: false })),
  ...(['copying', 'pivoting', 'settling'] as const).map((phase) => ({ phase, isOffline: true })),
];

for (const { phase, isOffline } of CASES) {
  const name = isOffline ? `${phase}, while it is off` : phase;
  test(`${name}: whatever is asked for, whatever the hypervisor says, and wherever the process dies`, async () => {
    let cases = 0;
    for (const event of PLACED_EVENTS) {
      for (const says of SAYS) {
        for (const when of ['before', 'after'] as const) {
          cases++;
          for (const count of effects(cases)) {
            const crashAt = { count, when };
            try {
              if ((await judge({ phase, isOffline, event, says, crashAt })) < count) break;
            } catch (cause) {
              throw new Error(`${event}, ${says}, crash ${when} effect ${count}`, { cause });
            }
          }
        }
      }
    }
    ok(cases === 100, `${cases} cases`);
  });
}
