import type { WorkerOperationName } from '../../operations/operations.ts';
import type { CallOptions, Handlers } from '../base/call.ts';
import type { SessionEnd } from '../sessions/session-events.ts';
import type { SessionSupervisor } from '../sessions/session-supervisor.ts';

type InWorker = Handlers<WorkerOperationName>;

/** The same operations; their work on sessions is reported to those who follow these. */
export function followedWork(
  inWorker: InWorker,
  sessions: () => SessionSupervisor | undefined,
): InWorker {
  function follow<Q extends { readonly session: string }, R>(
    work: (request: Q, options: CallOptions) => Promise<R>,
    how: SessionEnd,
  ) {
    return async (request: Q, options: CallOptions): Promise<R> => {
      const { session } = request;
      const report: CallOptions['report'] = (event) => {
        options.report(event);
        if (event.event === 'progress' || event.event === 'notice') {
          sessions()?.told(session, event);
        }
      };
      try {
        const done = await work(request, { ...options, report });
        sessions()?.ended(session, how);
        return done;
      } catch (cause) {
        sessions()?.told(session, undefined);
        throw cause;
      }
    };
  }
  return {
    ...inWorker,
    'session/keep': follow(inWorker['session/keep'], 'kept'),
    'session/finalize': follow(inWorker['session/finalize'], 'finalized'),
  };
}
