import { SystemError } from '../../sys/base/system-error.ts';
import type { Desk } from './context.ts';

/** A desk with nothing on it: whatever is asked of it rejects with `reason`. Spread it, and put something on. */
export function bareDesk(code: 'FAILED' | 'UNREACHABLE', reason: string): Desk {
  const none = async (): Promise<never> => {
    throw new SystemError(code, reason);
  };
  return {
    ...{ house: none, makeStore: none, sessions: none, jobs: none, service: none, audit: none },
    ...{ support: none, guard: none, tokens: none, follow: none, host: none, files: none },
    throughput: none,
    box: undefined,
    whyWaiting: () => undefined,
    overlay: () => undefined,
    // Whoever asks this very process reads with his own rights.
    isSecret: () => false,
    apart: undefined,
  };
}
