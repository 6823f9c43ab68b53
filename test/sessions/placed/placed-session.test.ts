import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { PlacedPhase } from '../../../src/formats/store/sessions/session.ts';
import { PLACED_EVENTS } from '../../../src/sessions/placed/placed-state.ts';
import { judge, SAYS } from './every-case.ts';

const PHASES: readonly PlacedPhase[] = [
  ...(['preparing', 'placing', 'running', 'copying', 'pivoting'] as const),
  ...(['settling', 'leaving', 'withdrawing', 'keeping', 'cleaning'] as const),
];

for (const phase of PHASES) {
  test(`${phase}: whatever is asked for, whatever the hypervisor says, and wherever the process dies`, async () => {
    let cases = 0;
    for (const event of PLACED_EVENTS) {
      for (const says of SAYS) {
        for (const when of ['before', 'after'] as const) {
          for (let count = 1; ; count++) {
            const what = `${event}, ${says}, crash ${when} effect ${count}`;
            try {
              const effects = await judge({ phase, event, says, crashAt: { count, when } });
              cases++;
              if (effects < count) break;
            } catch (cause) {
              throw new Error(what, { cause });
            }
          }
        }
      }
    }
    ok(cases >= 90);
    equal(PHASES.length * PLACED_EVENTS.length * SAYS.length * 2, 900);
  });
}
