import type { DescribedDisk } from '../../formats/store/catalog/machine.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import type { PoolPlace } from '../../hypervisors/base/run-driver.ts';
import type { RunFacts } from './run-facts.ts';

/* The pool of a hypervisor to which disks go: the one that was named, else the one in which they were. */

interface PoolFacts extends Pick<RunFacts, 'hypervisor' | 'places'> {
  readonly machine: { readonly disks: readonly Pick<DescribedDisk, 'source'>[] };
}

/** Where all its disks were that are in a pool of this hypervisor; undefined: that cannot be told. */
export function ownPool({ machine, places: { pools } }: PoolFacts): string | undefined {
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

interface Judging {
  /** How much it counts that none is known. */
  readonly level: 'warning' | 'blocker';
  /** What a person can do where there is no pool at all. */
  readonly otherwise: string;
}

export function poolFindings(
  { hypervisor, places: { pools } }: PoolFacts,
  pool: string | undefined,
  { level, otherwise }: Judging,
): readonly Finding[] {
  if (pools.some(({ name }) => name === pool)) return [];
  const known = pools.map(({ name }) => name).join(', ');
  const remedy =
    known === ''
      ? `start one on ${hypervisor} ("virsh pool-list --all"), or ${otherwise}`
      : `choose one of ${known}: --pool`;
  if (pool !== undefined) {
    const message = `${hypervisor} has no active pool "${pool}"`;
    return [{ level: 'blocker', code: 'target-space', message, remedy }];
  }
  const message =
    'its disks were not all in one pool of this hypervisor, so a pool has to be chosen';
  return [{ level, code: 'target-space', message, remedy }];
}

export const isUnusable = ({ level, code }: Finding): boolean =>
  level === 'blocker' && code === 'target-space';

/** For disks that have to be there. `pool`: undefined where a finding says why. */
export function decidePool(
  facts: PoolFacts,
  wished: string | undefined,
): { readonly pool: string | undefined; readonly findings: readonly Finding[] } {
  const pool = wished ?? ownPool(facts);
  const otherwise = 'restore the disks to files: "holdfast restore disk"';
  const findings = poolFindings(facts, pool, { level: 'blocker', otherwise });
  return { pool: findings.length > 0 ? undefined : pool, findings };
}
