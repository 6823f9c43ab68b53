import type { Operation } from '../../operations/base/operation.ts';
import type { Change, Report } from '../../operations/events.ts';

/** Events of the service, for clients that follow them. */
export interface Feed {
  tell(change: Change): void;
  /** Tells what an operation that has ended may have changed. */
  ended(operation: Operation): void;
  /** Reports until `signal`. */
  follow(report: Report, signal: AbortSignal): Promise<void>;
}

export function openFeed(): Feed {
  const audience = new Set<Report>();
  const tell: Feed['tell'] = (change) => {
    for (const report of audience) report(change);
  };
  return {
    tell,
    ended({ name, changes }) {
      if (changes.length > 0) tell({ event: 'changed', operation: name, nouns: changes });
    },
    async follow(report, signal) {
      const left = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => left.resolve(), { once: true });
      if (signal.aborted) left.resolve();
      audience.add(report);
      await left.promise;
      audience.delete(report);
    },
  };
}
