import { setTimeout as sleep } from 'node:timers/promises';

/** Far longer than anything takes on a slow or busy machine: it only ends a test that would wait for ever. */
export const PATIENCE_MS = 240_000;
const AGAIN_MS = 10;
/** What has not changed for this long is believed to have settled. */
const QUIET_MS = 200;

/** Resolves once `holds`, asked again and again, answers true; `what` and `state` say in a failure what never came. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  state: () => string | Promise<string> = () => '',
): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`this never came: ${what}\n${await state()}`);
    await sleep(AGAIN_MS);
  }
}

/** Resolves once `value` has not changed for a while: for tests that something does not grow any further. */
export async function settled(value: () => number): Promise<void> {
  let [last, since] = [value(), performance.now()];
  await until('a value that no longer changes', () => {
    const now = value();
    if (now !== last) [last, since] = [now, performance.now()];
    return performance.now() - since > QUIET_MS;
  });
}
