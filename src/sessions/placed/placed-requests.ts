import type { OfflineMove, Placement, StopHow } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { SessionError } from '../state/session-error.ts';
import { type Progress, stateOf } from './placed-progress.ts';
import { afterEvent } from './placed-state.ts';
import { placementOf } from './placed-steps.ts';
import type { PlacedWorld } from './placed-world.ts';

export type PlacedRequest =
  | { readonly kind: 'discard'; readonly stop?: StopHow }
  | { readonly kind: 'keep'; readonly as: string; readonly stop?: StopHow }
  /** `pool`: undefined: the one that was chosen. */
  | {
      readonly kind: 'move';
      readonly pool?: string;
      /** While it is off. */
      readonly offline?: OfflineMove;
    }
  | { readonly kind: 'cancel-move' }
  /** `name`: typed by the person: the machine's. */
  | { readonly kind: 'abandon'; readonly name: string }
  | { readonly kind: 'retry' };

/** What follows from it. Throws IMPOSSIBLE: then nothing that is under way ends for it. */
export function judge(record: SessionRecord, asked: PlacedRequest) {
  const next = afterEvent(stateOf(record), isOffline(asked) ? 'move-offline' : asked.kind);
  if (next.kind === 'refused' || next.phase === 'gone') {
    const why = next.kind === 'refused' ? next.why : 'it is over';
    throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${why}`);
  }
  if (asked.kind === 'abandon') requireName(record, asked.name);
  if (asked.kind === 'move') poolFor(record, asked.pool);
  return { phase: next.phase, goal: next.goal };
}

/** Journals what a person asks for. Rejects IMPOSSIBLE. */
export async function request(progress: Progress, asked: PlacedRequest): Promise<void> {
  const { record } = progress.world.journal;
  const next = judge(record, asked);
  const change: Partial<Placement> = { goal: next.goal };
  switch (asked.kind) {
    case 'discard':
      return progress.enter(next.phase, { ...change, ...stopOf(asked) });
    case 'keep':
      return progress.enter(next.phase, { ...change, ...stopOf(asked) }, asked.as);
    case 'move':
      return progress.enter(next.phase, {
        ...change,
        ...poolFor(record, asked.pool),
        ...offlineOf(record, asked.offline),
        lostCopies: 0,
      });
    case 'cancel-move':
      // The step that follows ends the copies; it may be the one of a phase that was there before.
      progress.memory = {};
      return progress.enter(next.phase, change);
    case 'retry':
      return progress.enter(next.phase, { ...change, lostCopies: 0, ...turnTaken(record) });
    case 'abandon':
      await abandon(progress.world, record);
      return progress.enter(next.phase, change);
  }
}

const isOffline = (asked: PlacedRequest): boolean =>
  asked.kind === 'move' && asked.offline !== undefined;

/**
 * Repeated, it may say how a guest that does not shut down is stopped; the machine was still one that ran. Without it,
 * the disks move while the machine runs, unless they have been written.
 */
function offlineOf(record: SessionRecord, asked: OfflineMove | undefined): Partial<Placement> {
  const before = placementOf(record).offline;
  if (!asked) return record.phase === 'copying' ? { offline: undefined } : {};
  const { start, stop } = asked;
  return {
    offline: { start: start || before?.start === true, stop: stop ?? before?.stop },
  };
}

/** A person lets it go on, whatever has become of the machines before it. */
function turnTaken(record: SessionRecord): Partial<Placement> {
  const { run } = placementOf(record);
  return run ? { run: { ...run, isTurn: true } } : {};
}

const MOVING: ReadonlySet<string> = new Set(['pivoting', 'settling', 'leaving']);

/** What is left is remembered before anything here is given up. */
async function abandon({ clock, own }: PlacedWorld, record: SessionRecord): Promise<void> {
  const { plan, hypervisor, machine, aside, disks } = placementOf(record);
  // While its disks move, one may be there that was not seen there yet.
  const hasMoved = MOVING.has(record.phase) || disks.some(({ pivoted }) => pivoted);
  const since = clock.now().toISOString();
  const { id: session } = record;
  await own.owe({ session, hypervisor, since, machine, uuid: plan.uuid, aside, hasMoved });
  await own.endExports();
}

function requireName(record: SessionRecord, typed: string): void {
  const { name } = placementOf(record).plan;
  if (typed === name) return;
  const what = `"${typed}" is not the name of its machine: to give it up, give the name "${name}"`;
  throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${what}`);
}

const stopOf = ({ stop }: { readonly stop?: StopHow }): Partial<Placement> =>
  stop ? { stop } : {};

function poolFor(record: SessionRecord, asked: string | undefined): Partial<Placement> {
  const { pool, disks, plan } = placementOf(record);
  if (asked === undefined && pool === undefined) {
    const what = 'no pool was chosen for its disks: give one (--pool)';
    throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${what}`);
  }
  if (asked === undefined || asked === pool) return {};
  if (plan.writes === 'there') {
    const what = `its disks are in the pool "${pool}", where its guest writes, and stay there: omit --pool`;
    throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${what}`);
  }
  if (disks.some(({ reserved }) => reserved !== undefined)) {
    const what = `its disks are already reserved in the pool "${pool}": omit --pool`;
    throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${what}`);
  }
  return { pool: asked };
}
