import type { SessionPhase, SessionRecord } from '../../formats/store/sessions/session.ts';
import { SessionError } from './session-error.ts';

/*
 * The life of a session as a pure function. The work of a phase is its step; steps may be repeated, so that after a
 * power cut at any time the process that finds the journal repeats the step and continues.
 */
export type SessionEvent =
  /** A step of the phase was carried out. */
  | { readonly kind: 'done' }
  | { readonly kind: 'keep'; readonly as: string }
  /** It could not be published: no part of the recovery point exists. */
  | { readonly kind: 'not kept' }
  | { readonly kind: 'discard' };

/**
 * prepare: lease and overlays. publish: the overlays become a recovery point. clean: everything is removed.
 * Undefined: the session waits for a decision.
 */
export type Step = 'prepare' | 'publish' | 'clean' | undefined;

const STEPS = {
  preparing: 'prepare',
  ready: undefined,
  keeping: 'publish',
  cleaning: 'clean',
} as const satisfies Record<SessionPhase, Step>;

export function stepOf({ phase }: SessionRecord): Step {
  return STEPS[phase];
}

/** The session after `event`; undefined: it is gone. Throws IMPOSSIBLE. */
export function next(session: SessionRecord, event: SessionEvent): SessionRecord | undefined {
  const { phase } = session;
  switch (event.kind) {
    case 'done':
      if (phase === 'cleaning') return undefined;
      if (phase === 'preparing') return { ...session, phase: 'ready' };
      if (phase === 'keeping') return { ...session, phase: 'cleaning' };
      break;
    case 'keep':
      if (phase === 'ready') return { ...session, phase: 'keeping', keepAs: event.as };
      // A repeated request: the first one's ID stays.
      if (phase === 'keeping') return session;
      // It was kept: only the cleaning up is left.
      if (phase === 'cleaning' && session.keepAs !== undefined) return session;
      break;
    case 'not kept':
      if (phase === 'keeping') return { ...session, phase: 'ready', keepAs: undefined };
      break;
    case 'discard':
      // Also while it is being kept: that was not reported yet.
      if (phase !== 'cleaning' || session.keepAs === undefined) {
        return { ...session, phase: 'cleaning', keepAs: undefined };
      }
      return session;
  }
  const { id } = session;
  if (phase === 'cleaning') {
    const advice = `finish that with "session discard ${id}"`;
    throw new SessionError('IMPOSSIBLE', `session ${id} is being discarded: ${advice}`);
  }
  const wanted = event.kind === 'keep' ? 'be kept' : 'continue';
  throw new SessionError('IMPOSSIBLE', `session ${id} is ${phase}: it cannot ${wanted}`);
}
