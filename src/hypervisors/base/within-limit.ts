import type { Clock } from '../../sys/base/clock.ts';
import { HypervisorError } from './hypervisor-error.ts';

interface Limit {
  readonly clock: Clock;
  readonly limitMs: number;
  readonly signal: AbortSignal;
}

interface Done<T> {
  readonly result: T;
}

/** Undefined: `work` took longer, and was aborted. Rejects as it does, and with the signal's reason. */
export async function withinLimit<T>(
  { clock, limitMs, signal }: Limit,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<Done<T> | undefined> {
  const late = new HypervisorError('BUSY', 'it took too long');
  const limit = new AbortController();
  const end = new AbortController();
  const limiting = (async () => {
    try {
      await clock.sleep(limitMs, end.signal);
      limit.abort(late);
    } catch {
      // It was done in time.
    }
  })();
  try {
    return { result: await work(AbortSignal.any([signal, limit.signal])) };
  } catch (cause) {
    if (cause !== late) throw cause;
    return undefined;
  } finally {
    end.abort();
    await limiting;
  }
}
