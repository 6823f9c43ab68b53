import type { Condition } from '../../alarms/alarm-state.ts';
import { type TrustedTime, trustedTime } from '../../alarms/trusted-time.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';

const HOUR_MS = 60 * 60_000;
const ADVICE =
  'compare the clock of this host with one that you trust; then two users confirm it ("holdfast clock confirm")';
const NO_END =
  'until it is known no lock of a recovery point ends, and nothing is forgotten until a person acknowledges this alarm';

/** What is wrong with the time by which locks end, as `directory`, the box's, says. */
export async function seenTrusted(world: World, directory: string): Promise<readonly Condition[]> {
  try {
    return trustedConditions(await trustedTime(world, directory));
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    return trustedConditions(cause);
  }
}

/** What is wrong with the time by which locks end; `known` may be why it cannot be read. */
export function trustedConditions(known: TrustedTime | SystemError): readonly Condition[] {
  const what = { kind: 'trusted-time', level: 'warning' } as const;
  if (known instanceof SystemError) {
    return [{ ...what, message: `trusted time is not known: ${known.message}; ${NO_END}` }];
  }
  const { trustedMs, uncountedMs } = known;
  if (trustedMs === undefined) {
    return [{ ...what, message: `the record of trusted time is damaged; ${NO_END}: ${ADVICE}` }];
  }
  // A restart takes minutes: once the 7 days are used, each one would forbid deletions.
  if (uncountedMs < HOUR_MS) return [];
  const hours = Math.round(uncountedMs / HOUR_MS);
  const more = hours === 1 ? '1 hour more than is' : `${hours} hours more than are`;
  const message =
    `according to its clock, the host was off for ${more} counted; locks of recovery points end later by that time, ` +
    `and nothing is forgotten until a person acknowledges this alarm: ${ADVICE}`;
  return [{ ...what, message, occurrence: String(hours) }];
}
