import type { Change, Report } from '../../operations/events.ts';

/** Events of the service, for clients that follow them. */
export interface Feed {
  tell(change: Change): void;
  /** Reports until `signal`. */
  follow(report: Report, signal: AbortSignal): Promise<void>;
}

export function openFeed(): Feed {
  const audience = new Set<Report>();
  return {
    tell(change) {
      for (const report of audience) report(change);
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
