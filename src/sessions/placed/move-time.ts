import type { Placement } from '../../formats/store/sessions/placement.ts';
import type { Look } from '../../hypervisors/base/run-driver.ts';

type Moving = Pick<Placement, 'plan' | 'wasToMove' | 'firstOn'>;

/**
 * The milliseconds until a machine that runs begins to move by itself; infinite: it does not, or something else has to
 * happen before. A move that was canceled, or has failed, begins again only when a person says so.
 */
export function untilMove(
  { plan: { moves }, wasToMove, firstOn }: Moving,
  look: Look,
  now: Date,
): number {
  if (wasToMove || !look.isThere || look.power !== 'on') return Infinity;
  switch (moves.kind) {
    case 'asked':
      return Infinity;
    case 'now':
      return 0;
    case 'heartbeat':
      return look.heartbeat ? 0 : Infinity;
    case 'after':
      if (firstOn === undefined) return Infinity;
      return Math.max(0, Date.parse(firstOn) + moves.seconds * 1000 - now.getTime());
    default:
      return moves satisfies never;
  }
}
