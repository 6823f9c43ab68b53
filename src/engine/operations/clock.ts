import { confirmClock, type TrustedTime } from '../../alarms/trusted-time.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { ownIds, type UnixPeer } from '../../sys/net/unix-peer.ts';
import type { Engine } from '../base/engine.ts';
import { knownTime } from '../base/trusted-now.ts';

/* The time by which locks end, shown and confirmed. */

type Clock = ResultOf<'clock/show'>;

export async function showClock(engine: Pick<Engine, 'store' | 'box'>): Promise<Clock> {
  return shown(engine, await knownTime(engine));
}

export async function confirmedClock(
  engine: Pick<Engine, 'store' | 'box'>,
  who: UnixPeer | undefined,
): Promise<Clock> {
  const { store, box } = engine;
  return shown(engine, await confirmClock(store, box.directory, (who ?? ownIds()).uid));
}

function shown({ store }: Pick<Engine, 'store'>, known: TrustedTime | undefined): Clock {
  const clock = store.clock.now();
  return {
    clock: clock.toISOString(),
    trusted: known ? new Date(known.trustedMs).toISOString() : null,
    behindMs: known ? Math.max(0, clock.getTime() - known.trustedMs) : null,
    uncountedMs: known?.uncountedMs ?? null,
    confirmedBy: known?.confirmedBy ?? null,
  };
}
