import type { MoveWhen } from '../../formats/store/sessions/placement.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import { isUnusable, ownPool, poolFindings } from './pools.ts';
import type { RunFacts } from './run-facts.ts';
import type { RunWish } from './run-wish.ts';

/* When the machine moves to the hypervisor, and to which of its pools: by default where its disks were. */

interface Decided {
  readonly moves: MoveWhen;
  /** Undefined: it does not move, or not before a person has chosen one. */
  readonly pool: string | undefined;
  readonly findings: readonly Finding[];
}

type Wish = Pick<RunWish, 'pool' | 'migrate' | 'migrateAfter' | 'powerOn'>;

export function decideMove(facts: RunFacts, wish: Wish): Decided {
  const moves = movesOf(wish);
  const pool = wish.migrate === 'none' ? undefined : (wish.pool ?? ownPool(facts));
  const findings = [
    ...optionFindings(wish),
    ...poolFindingsFor(facts, wish, pool),
    ...whenFindings(facts, { wish, moves }),
  ];
  return { moves, pool: findings.some(isUnusable) ? undefined : pool, findings };
}

function movesOf({ migrate, migrateAfter }: Wish): MoveWhen {
  if (migrate === 'heartbeat') return { kind: 'heartbeat' };
  if (migrate !== 'auto') return { kind: 'asked' };
  return migrateAfter === undefined ? { kind: 'now' } : { kind: 'after', seconds: migrateAfter };
}

function optionFindings({ migrate, migrateAfter, pool }: Wish): readonly Finding[] {
  const findings: Finding[] = [];
  if (migrateAfter !== undefined && migrate !== 'auto') {
    findings.push({
      ...{ level: 'blocker', code: 'move' },
      message: `--migrate-after does not go with --migrate ${migrate}`,
      remedy: 'give --migrate auto with --migrate-after, or --migrate alone',
    });
  }
  if (pool !== undefined && migrate === 'none') {
    findings.push({
      ...{ level: 'blocker', code: 'move' },
      message: '--pool does not go with --migrate none: its disks do not move',
      remedy: 'give one of them',
    });
  }
  return findings;
}

/** A person who moves it later can name one then. */
function poolFindingsFor(facts: RunFacts, wish: Wish, pool: string | undefined) {
  if (wish.migrate === 'none') return [];
  return poolFindings(facts, pool, {
    level: wish.migrate === 'later' ? 'warning' : 'blocker',
    otherwise: 'leave the disks here: --migrate none',
  });
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
