import type { OwnPhase, SessionRecord } from '../../formats/store/sessions/session.ts';
import { SessionError } from './session-error.ts';

/*
 * The life of a session as a pure function. The work of a phase is its step; steps may be repeated, so that after a
 * power cut at any time the process that finds the journal repeats the step and continues. A session with a placement
 * has other phases while a hypervisor may use its disks (placed-state.ts): in these, nothing here touches it.
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
} as const satisfies Record<OwnPhase, Step>;

export function stepOf({ phase }: SessionRecord): Step {
  return isOwn(phase) ? STEPS[phase] : undefined;
}

/** In the other phases, a hypervisor may use its disks. */
export const isOwn = (phase: SessionRecord['phase']): phase is OwnPhase =>
  Object.hasOwn(STEPS, phase);

/** Whether the session's disks are served in this phase, by the process that holds it. */
export function isServable({ phase }: SessionRecord): boolean {
  return phase !== 'preparing' && phase !== 'keeping' && phase !== 'cleaning';
}

/** The session after `event`; undefined: it is gone. Throws IMPOSSIBLE. */
export function next(session: SessionRecord, event: SessionEvent): SessionRecord | undefined {
  const { id, phase, placement } = session;
  if (!isOwn(phase)) {
    const where = `on hypervisor ${placement?.hypervisor}`;
    throw new SessionError('IMPOSSIBLE', `session ${id} has a machine ${where} (${phase})`);
  }
  switch (event.kind) {
    case 'done':
      if (phase === 'cleaning') return undefined;
      if (phase === 'preparing') return { ...session, phase: placement ? 'placing' : 'ready' };
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
      // Also one whose machine was withdrawn for that: what it wrote is there, and people decide again.
      if (phase === 'keeping') return { ...session, phase: 'ready', keepAs: undefined };
      break;
    case 'discard':
      // Also while it is being kept: that was not reported yet.
      if (phase !== 'cleaning' || session.keepAs === undefined) {
        return { ...session, phase: 'cleaning', keepAs: undefined };
      }
      return session;
  }
  if (phase === 'cleaning') {
    const advice = `finish that with "session discard ${id}"`;
    throw new SessionError('IMPOSSIBLE', `session ${id} is being discarded: ${advice}`);
  }
  const wanted = event.kind === 'keep' ? 'be kept' : 'continue';
  throw new SessionError('IMPOSSIBLE', `session ${id} is ${phase}: it cannot ${wanted}`);
}
