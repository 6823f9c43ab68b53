import {
  type Placement,
  PLACEMENT_TEXT_MAX,
  type WaitReason,
} from '../../formats/store/sessions/placement.ts';
import type { PlacedPhase, SessionRecord } from '../../formats/store/sessions/session.ts';
import { SessionError } from '../state/session-error.ts';
import { afterEvent, type PlacedEvent, type PlacedState } from './placed-state.ts';
import { changePlacement, endWait, type PhaseMemory, placementOf } from './placed-steps.ts';
import type { Pause, PlacedWorld } from './placed-world.ts';

/** How far a session is: durably in its journal, and what this process remembers. */
export interface Progress {
  readonly world: PlacedWorld;
  memory: PhaseMemory;
  /** Failures of this phase, one after the other. */
  failures: number;
  /** The next pause while the hypervisor is away. */
  awayMs: number;
  /** Rejects IMPOSSIBLE. */
  apply(event: PlacedEvent, change?: Partial<Placement>): Promise<void>;
  enter(phase: PlacedPhase | 'ready', change: Partial<Placement>, keepAs?: string): Promise<void>;
  wait(ms: number, reason: WaitReason, message: string): Promise<Pause>;
  endWait(): Promise<void>;
}

/** In all others a move while the machine is off is over, or given up. */
const OFFLINE: ReadonlySet<string> = new Set(['copying', 'pivoting', 'settling']);

export const AWAY_FIRST_MS = 30_000;

export function progressOf(world: PlacedWorld): Progress {
  const { journal, clock } = world;
  async function apply(event: PlacedEvent, change: Partial<Placement> = {}): Promise<void> {
    const { record } = journal;
    const next = afterEvent(stateOf(record), event);
    if (next.kind === 'refused') {
      throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${next.why}`);
    }
    // Nothing is left that could say so.
    if (next.phase !== 'gone') await enter(next.phase, { goal: next.goal, ...change });
  }

  async function enter(
    phase: PlacedPhase | 'ready',
    change: Partial<Placement>,
    keepAs?: string,
  ): Promise<void> {
    const before = journal.record.phase;
    await journal.change((record) => {
      const before = placementOf(record);
      const offline = OFFLINE.has(phase) ? before.offline : undefined;
      const placement = { ...before, offline, waits: undefined, ...change };
      const isKept = placement.goal === 'keep';
      const wasToMove = placement.wasToMove || placement.goal === 'move';
      return {
        ...record,
        phase,
        placement: { ...placement, wasToMove },
        keepAs: isKept ? (record.keepAs ?? keepAs) : undefined,
      };
    });
    progress.failures = 0;
    if (phase === before) return;
    progress.memory = {};
    world.shown.log(`${before} -> ${phase}`);
  }

  async function wait(ms: number, reason: WaitReason, message: string): Promise<Pause> {
    const shown = message.slice(0, PLACEMENT_TEXT_MAX);
    const { waits } = placementOf(journal.record);
    if (waits?.reason !== reason || waits.message !== shown) {
      const isSame = waits?.reason === reason;
      const since = isSame ? waits.since : clock.now().toISOString();
      await changePlacement(world, { waits: { reason, since, message: shown } });
      world.shown.log(`waits: ${shown}`);
    }
    return { kind: 'later', ms };
  }

  const progress: Progress = {
    ...{ world, memory: {}, failures: 0, awayMs: AWAY_FIRST_MS },
    ...{ apply, enter, wait, endWait: () => endWait(world) },
  };
  return progress;
}

export function stateOf(record: SessionRecord): PlacedState {
  const { goal, disks, waits, plan, offline } = placementOf(record);
  if (record.phase === 'ready') {
    throw new SessionError('IMPOSSIBLE', `session ${record.id} has no machine any longer`);
  }
  return {
    ...{ phase: record.phase, goal },
    isForward: disks.some(({ pivoted }) => pivoted),
    isWaiting: waits !== undefined,
    writes: plan.writes,
    isOffline: offline !== undefined,
  };
}
