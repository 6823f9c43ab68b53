import type { Placement, RunPart } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';

/*
 * Machines of one run start one after the other. Each waits for the one before it, as that one's journal has it, so
 * that any process can go on. One that does not start stops those after it, until a person lets one go on; those before
 * it are left alone.
 */

export type Turn =
  | { readonly kind: 'now' }
  | { readonly kind: 'wait'; readonly ms: number; readonly message: string }
  | { readonly kind: 'stopped'; readonly message: string };

const NOW: Turn = { kind: 'now' };
const POLL_MS = 2000;

/**
 * What is to be remembered of the machine before, for when its session is over: since when it runs, or its agent
 * answers. One that moves while its agent is still waited for will stay, too.
 */
export function ranFrom(
  { gap }: Pick<RunPart, 'gap'>,
  before: SessionRecord | undefined,
): string | undefined {
  if (!before?.placement) return undefined;
  const { firstOn, firstHeartbeat, goal } = before.placement;
  if (gap.kind === 'delay') return firstOn;
  return firstHeartbeat ?? (goal === 'move' ? firstOn : undefined);
}

/**
 * The session of a machine that waits for the one of `before`, which has moved, and whose session is about to be gone:
 * it ran, however short that was, and whether or not it was looked at. Others as they are.
 */
export function withMoved(record: SessionRecord, before: SessionRecord, now: Date): SessionRecord {
  const { placement } = record;
  if (!placement?.run || placement.run.after !== before.id) return record;
  const { run } = placement;
  const ran = ranFrom(run, before) ?? before.placement?.firstOn ?? now.toISOString();
  return { ...record, placement: { ...placement, run: { ...run, from: run.from ?? ran } } };
}

/** For one whose turn has not come yet. `before`: the session that `after` names; undefined: it is gone. */
export function turnOf(
  { after, gap, from }: Omit<RunPart, 'isTurn'>,
  before: SessionRecord | undefined,
  now: Date,
): Turn {
  if (after === undefined) return NOW;
  const placement = before?.placement;
  const name = placement ? `"${placement.plan.name}"` : 'the one before it';
  if (gap.kind === 'delay' && from !== undefined) {
    const left = Date.parse(from) + gap.seconds * 1000 - now.getTime();
    if (left <= 0) return NOW;
    const message = `its machine starts ${gap.seconds} s after ${name}`;
    return { kind: 'wait', ms: Math.min(left, POLL_MS), message };
  }
  if (!placement) {
    if (from !== undefined) return NOW;
    return stopped(`the session ${after}, whose machine should have started first, has ended`);
  }
  const isHeard = gap.kind === 'heartbeat' && placement.firstHeartbeat !== undefined;
  if (isHeard || hasMoved(before, placement)) return NOW;
  const why = failureOf(before, placement, { gap, now });
  if (why !== undefined) return stopped(`${name}, which should start first, ${why}`);
  return { kind: 'wait', ms: POLL_MS, message: `its machine starts after ${name}` };
}

/** It has its end: the machine stays there. */
const hasMoved = ({ phase }: SessionRecord, { goal }: Placement): boolean =>
  goal === 'move' && (phase === 'leaving' || phase === 'cleaning');

function stopped(what: string): Turn {
  const advice =
    'To start this machine nevertheless: "holdfast session retry"; otherwise discard the session';
  return { kind: 'stopped', message: `${what}. ${advice}` };
}

const ENDING: ReadonlySet<string> = new Set(['withdrawing', 'keeping', 'cleaning', 'ready']);

/** Why it will not be what is waited for; undefined: it may be yet. */
function failureOf(
  { phase }: SessionRecord,
  { waits, firstOn }: Placement,
  { gap, now }: { readonly gap: RunPart['gap']; readonly now: Date },
): string | undefined {
  if (ENDING.has(phase)) return 'was withdrawn';
  const isStuck = waits?.reason === 'person' || waits?.reason === 'machine-gone';
  if (isStuck && firstOn === undefined) return `has not started: ${waits.message}`;
  if (gap.kind === 'delay' || firstOn === undefined) return undefined;
  const late = now.getTime() - Date.parse(firstOn) > gap.seconds * 1000;
  return late
    ? `runs, but the agent of its guest did not answer within ${gap.seconds} s`
    : undefined;
}
