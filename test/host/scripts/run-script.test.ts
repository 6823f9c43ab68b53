import { equal } from 'node:assert/strict';
import { test } from 'tap';
import { hasPassed } from '../../../src/host/scripts/run-script.ts';

test('a script has passed only if the sandbox itself says so', async () => {
  // systemd counts SIGTERM as a clean end of a unit, and systemd-run then ends with 0.
  const clean = 'Finished with result: success\n';
  for (const [code, stderr, isPassed] of [
    [0, `the script begins\nthe script ended: 0\n${clean}`, true],
    [0, `the script begins\n${clean}`, false],
    [0, `the script begins\nthe script ended: 3\n${clean}`, false],
    [3, 'the script begins\nthe script ended: 3\nFinished with result: exit-code\n', false],
    [undefined, 'the script begins\nthe script ended: 0\n', false],
  ] as const) {
    equal(hasPassed({ code, stderr }), isPassed, stderr);
  }
});
