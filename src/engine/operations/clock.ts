import { AlarmError } from '../../alarms/alarm-error.ts';
import { standingAlarms } from '../../alarms/alarm-book.ts';
import { confirmClock, type Confirmation } from '../../alarms/trusted-time.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { ownIds, type UnixPeer } from '../../sys/net/unix-peer.ts';
import type { Engine } from '../base/engine.ts';
import { knownTime } from '../base/trusted-now.ts';

/* The time by which locks end, shown and confirmed. */

type Clock = ResultOf<'clock/show'>;

export async function showClock(engine: Pick<Engine, 'store' | 'box'>): Promise<Clock> {
  return shown(engine, await knownTime(engine));
}

/** Rejects FROZEN while the alarm of a clock that jumped stands: a person has to look at that first. */
export async function confirmedClock(
  engine: Pick<Engine, 'store' | 'box'>,
  who: UnixPeer | undefined,
): Promise<Clock> {
  const { store, box } = engine;
  const [jump] = await standingAlarms(store.files, store.directory, 'clock-jump');
  if (jump) {
    const what = `the clock cannot be confirmed while the alarm ${jump.id} is raised (${jump.message})`;
    const advice = `if the clock is right, acknowledge it first: "holdfast alarm acknowledge ${jump.id}"`;
    throw new AlarmError('FROZEN', `${what}: ${advice}`);
  }
  return shown(engine, await confirmClock(store, box.directory, (who ?? ownIds()).uid));
}

function shown({ store }: Pick<Engine, 'store'>, known: Partial<Confirmation> | undefined): Clock {
  const clock = store.clock.now();
  const trustedMs = known?.trustedMs;
  const isKnown = trustedMs !== undefined;
  return {
    clock: clock.toISOString(),
    trusted: isKnown ? new Date(trustedMs).toISOString() : null,
    behindMs: isKnown ? Math.max(0, clock.getTime() - trustedMs) : null,
    uncountedMs: isKnown ? (known?.uncountedMs ?? null) : null,
    confirmedBy: known?.confirmedBy ?? null,
    replaced: known?.replaced ?? null,
  };
}
