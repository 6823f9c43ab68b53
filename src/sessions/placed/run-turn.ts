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

/** `before`: the session that `after` names; undefined: it is gone. */
export function turnOf(
  { after, gap, isTurn }: RunPart,
  before: SessionRecord | undefined,
  now: Date,
): Turn {
  if (isTurn || after === undefined) return NOW;
  const placement = before?.placement;
  if (!placement) {
    return stopped(`the session ${after}, whose machine was to start before, is over`);
  }
  const { name } = placement.plan;
  const since = gap.kind === 'delay' ? placement.firstOn : placement.firstHeartbeat;
  if (since !== undefined) {
    const left = gap.kind === 'delay' ? Date.parse(since) + gap.seconds * 1000 - now.getTime() : 0;
    if (left <= 0) return NOW;
    const message = `its machine starts ${gap.seconds} s after "${name}"`;
    return { kind: 'wait', ms: Math.min(left, POLL_MS), message };
  }
  const why = failureOf(before, placement, { gap, now });
  if (why !== undefined) return stopped(`"${name}", which was to start before, ${why}`);
  return { kind: 'wait', ms: POLL_MS, message: `its machine starts after "${name}"` };
}

function stopped(what: string): Turn {
  const advice = 'To start it none the less, let the session try again; or discard it';
  return { kind: 'stopped', message: `${what}. ${advice}` };
}

const ENDING: ReadonlySet<string> = new Set(['withdrawing', 'keeping', 'cleaning', 'ready']);

/** Why it will not be what is waited for; undefined: it may be yet. */
function failureOf(
  { phase }: SessionRecord,
  { waits, firstOn }: Placement,
  { gap, now }: { readonly gap: RunPart['gap']; readonly now: Date },
): string | undefined {
  if (ENDING.has(phase)) return 'is withdrawn';
  const isStuck = waits?.reason === 'person' || waits?.reason === 'machine-gone';
  if (isStuck && firstOn === undefined) return `has not started: ${waits.message}`;
  if (gap.kind === 'delay' || firstOn === undefined) return undefined;
  const late = now.getTime() - Date.parse(firstOn) > gap.seconds * 1000;
  return late ? `runs, but its guest's agent has not answered for ${gap.seconds} s` : undefined;
}
