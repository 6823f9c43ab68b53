import type { MoveWhen } from '../../formats/store/sessions/placement.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import { isUnusable, ownPool, poolFindings } from './pools.ts';
import type { RunFacts } from './run-facts.ts';
import type { RunWish } from './run-wish.ts';

/*
 * When the machine moves to the hypervisor, and to which of its pools: by default where its disks were. Where its guest
 * writes to the hypervisor's own storage, that pool is needed from the beginning, and nothing else is moved to.
 */

interface Decided {
  readonly moves: MoveWhen;
  /** Undefined: it does not move, or not before a person has chosen one. */
  readonly pool: string | undefined;
  readonly findings: readonly Finding[];
}

type Wish = Pick<RunWish, 'pool' | 'migrate' | 'migrateAfter' | 'powerOn' | 'writes'>;

export function decideMove(facts: RunFacts, wish: Wish): Decided {
  const moves = movesOf(wish);
  const pool = needsPool(wish) ? (wish.pool ?? ownPool(facts)) : undefined;
  const findings = [
    ...optionFindings(wish),
    ...poolFindingsFor(facts, wish, pool),
    ...whenFindings(facts, { wish, moves }),
    ...writesFindings(facts, wish, pool),
  ];
  return { moves, pool: findings.some(isUnusable) ? undefined : pool, findings };
}

const needsPool = ({ migrate, writes }: Wish): boolean => migrate !== 'none' || writes === 'there';

function movesOf({ migrate, migrateAfter }: Wish): MoveWhen {
  if (migrate === 'heartbeat') return { kind: 'heartbeat' };
  if (migrate !== 'auto') return { kind: 'asked' };
  return migrateAfter === undefined ? { kind: 'now' } : { kind: 'after', seconds: migrateAfter };
}

function optionFindings({ migrate, migrateAfter, pool, writes }: Wish): readonly Finding[] {
  const findings: Finding[] = [];
  if (migrateAfter !== undefined && migrate !== 'auto') {
    findings.push({
      ...{ level: 'blocker', code: 'move' },
      message: `--migrate-after does not go with --migrate ${migrate}`,
      remedy: 'give --migrate auto with --migrate-after, or --migrate alone',
    });
  }
  if (pool !== undefined && migrate === 'none' && writes === 'here') {
    findings.push({
      ...{ level: 'blocker', code: 'move' },
      message: '--pool does not go with --migrate none: its disks do not move',
      remedy: 'give one of them, or let its guest write to that pool: --writes there',
    });
  }
  return findings;
}

/** A person who moves it later can name one then. */
function poolFindingsFor(facts: RunFacts, wish: Wish, pool: string | undefined) {
  if (!needsPool(wish)) return [];
  const isThere = wish.writes === 'there';
  return poolFindings(facts, pool, {
    level: wish.migrate === 'later' && !isThere ? 'warning' : 'blocker',
    otherwise: isThere
      ? 'keep the writes of its guest here: --writes here'
      : 'leave the disks here: --migrate none',
  });
}

/** What a person gives up with that choice. */
function writesFindings(
  { hypervisor }: RunFacts,
  { writes }: Wish,
  pool: string | undefined,
): readonly Finding[] {
  if (writes === 'here' || pool === undefined) return [];
  const message =
    `what its guest writes is kept in the pool "${pool}" of ${hypervisor}, and not here: the machine can migrate or ` +
    'be discarded, and cannot be kept as a recovery point';
  const remedy = 'to be able to keep it: --writes here';
  return [{ level: 'note', code: 'move', message, remedy }];
}

function whenFindings(
  { machine }: RunFacts,
  { wish, moves }: { readonly wish: Wish; readonly moves: MoveWhen },
): readonly Finding[] {
  const findings: Finding[] = [];
  if (moves.kind === 'heartbeat' && machine.guest?.agent !== true) {
    findings.push({
      ...{ level: 'warning', code: 'agent' },
      message:
        'its guest had no agent when it was backed up: without one it does not migrate by itself',
      remedy:
        'let it migrate after a time (--migrate auto --migrate-after 10m), or by command (--migrate later)',
    });
  }
  if (moves.kind !== 'asked' && !wish.powerOn) {
    const message = 'it does not migrate before it is started, and nothing starts it';
    findings.push({ level: 'note', code: 'move', message, remedy: 'start it: --power-on' });
  }
  return findings;
}
