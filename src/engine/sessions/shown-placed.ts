import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { PlacedMachine } from '../../operations/nouns/placed.ts';
import { isOwn } from '../../sessions/state/session-state.ts';
import type { DrivenSession } from './placed/driven-session.ts';

/** What is shown of a session's machine on a hypervisor; null: it has none. `driven`: if this process carries it on. */
export function shownPlaced(
  { placement, phase }: SessionRecord,
  driven: DrivenSession | undefined,
): PlacedMachine | null {
  if (!placement || isOwn(phase)) return null;
  const { hypervisor, plan, goal, machine = null, pool = null, waits = null, run } = placement;
  const look = driven?.look();
  const isKnown = look?.isThere === true;
  return {
    ...{ hypervisor, machine: plan.name, id: machine, goal, pool, writes: plan.writes },
    run: run ? { run: run.id, after: run.after ?? null } : null,
    power: isKnown ? look.power : null,
    heartbeat: isKnown ? look.heartbeat : null,
    disks: placement.disks.map(({ name: disk, place = null }) => {
      const copy = phase === 'copying' || phase === 'pivoting' ? driven?.copy(disk) : undefined;
      const { done = null, total = null, rate } = copy ?? {};
      return { disk, place, done, total, rate: rate === undefined ? null : Math.round(rate) };
    }),
    waits,
  };
}
