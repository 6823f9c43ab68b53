import type { MoveWhen } from '../../formats/store/sessions/placement.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import type { PoolPlace } from '../../hypervisors/base/run-driver.ts';
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
    ...poolFindings(facts, { wish, pool }),
    ...whenFindings(facts, { wish, moves }),
  ];
  return { moves, pool: findings.some(isUnusable) ? undefined : pool, findings };
}

const isUnusable = ({ level, code }: Finding): boolean =>
  level === 'blocker' && code === 'target-space';

function movesOf({ migrate, migrateAfter }: Wish): MoveWhen {
  if (migrate === 'heartbeat') return { kind: 'heartbeat' };
  if (migrate !== 'auto') return { kind: 'asked' };
  return migrateAfter === undefined ? { kind: 'now' } : { kind: 'after', seconds: migrateAfter };
}

/** Where all its disks were that are in a pool of this hypervisor; undefined: that cannot be told. */
function ownPool({ machine, places: { pools } }: RunFacts): string | undefined {
  const names = new Set(machine.disks.flatMap(({ source }) => poolOf(source, pools)?.name ?? []));
  if (names.size === 1) return [...names][0];
  return names.size === 0 && pools.length === 1 ? pools[0]!.name : undefined;
}

/** The innermost: a pool may lie in the directory of another one. */
function poolOf(source: string | undefined, pools: readonly PoolPlace[]): PoolPlace | undefined {
  if (source === undefined) return undefined;
  const holders = pools.filter(
    ({ name, directory }) =>
      source.startsWith(`${name}/`) ||
      (directory !== undefined && source.startsWith(`${directory}/`)),
  );
  return holders.toSorted((a, b) => lengthOf(b) - lengthOf(a))[0];
}

const lengthOf = ({ directory }: PoolPlace): number => directory?.length ?? 0;

function optionFindings({ migrate, migrateAfter, pool }: Wish): readonly Finding[] {
  const findings: Finding[] = [];
  if (migrateAfter !== undefined && migrate !== 'auto') {
    findings.push({
      ...{ level: 'blocker', code: 'move' },
      message: `a time was given after which it moves, and that it moves "${migrate}"`,
      remedy: 'give one of them: --migrate auto with --migrate-after, or --migrate alone',
    });
  }
  if (pool !== undefined && migrate === 'none') {
    findings.push({
      ...{ level: 'blocker', code: 'move' },
      message: 'a pool to move to was given, and that it does not move',
      remedy: 'give one of them: --pool, or --migrate none',
    });
  }
  return findings;
}

function poolFindings(
  { hypervisor, places: { pools } }: RunFacts,
  { wish, pool }: { readonly wish: Wish; readonly pool: string | undefined },
): readonly Finding[] {
  if (wish.migrate === 'none' || pools.some(({ name }) => name === pool)) return [];
  const known = pools.map(({ name }) => name).join(', ');
  const remedy =
    known === ''
      ? `start one on ${hypervisor} ("virsh pool-list --all"), or leave the disks here: --migrate none`
      : `choose one of ${known}: --pool`;
  if (pool !== undefined) {
    const message = `${hypervisor} has no active pool "${pool}"`;
    return [{ level: 'blocker', code: 'target-space', message, remedy }];
  }
  const message = `the pool to move to does not follow from where its disks were`;
  // A person who moves it later can name one then.
  const level = wish.migrate === 'later' ? 'warning' : 'blocker';
  return [{ level, code: 'target-space', message, remedy }];
}

function whenFindings(
  { machine }: RunFacts,
  { wish, moves }: { readonly wish: Wish; readonly moves: MoveWhen },
): readonly Finding[] {
  const findings: Finding[] = [];
  if (moves.kind === 'heartbeat' && machine.guest?.agent !== true) {
    findings.push({
      ...{ level: 'warning', code: 'agent' },
      message: 'its guest had no agent: it may never say that it is up, and does not move before',
      remedy:
        'let it move after a time (--migrate auto --migrate-after SECONDS), or yourself later',
    });
  }
  if (moves.kind !== 'asked' && !wish.powerOn) {
    const message = 'it does not move before it is started, and it is not started by itself';
    findings.push({ level: 'note', code: 'move', message, remedy: 'start it: --power-on' });
  }
  return findings;
}
