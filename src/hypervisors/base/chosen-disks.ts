import type { DescribedDisk } from '../../formats/store/catalog/machine.ts';
import type { BackupWish } from './backup-driver.ts';
import type { Finding } from './finding.ts';
import { HypervisorError } from './hypervisor-error.ts';

/** A disk as a driver knows it. */
interface KnownDisk {
  readonly name: string;
  readonly described: DescribedDisk;
}

/** The disks that a backup reads, and those that it leaves out, each with the reason. */
export interface ChosenDisks<D> {
  readonly read: readonly D[];
  readonly left: readonly D[];
}

/** Throws NOT_FOUND for a disk that the machine does not have, UNSUPPORTED if none is left. */
export function chooseDisks<D extends KnownDisk>(
  { name: machine, disks }: { readonly name: string; readonly disks: readonly D[] },
  wish: BackupWish,
): ChosenDisks<D> {
  const names = new Set(disks.map(({ name }) => name));
  const missing = [...(wish.only ?? []), ...wish.exclude].find((it) => !names.has(it));
  if (missing !== undefined) {
    const has = names.size === 0 ? 'none' : [...names].join(', ');
    throw new HypervisorError('NOT_FOUND', `${machine} has no disk "${missing}": it has ${has}`);
  }
  const all = disks.map((disk) => ({ ...disk, described: chosen(disk.described, wish) }));
  const read = all.filter(({ described }) => !described.excluded);
  if (read.length > 0) return { read, left: all.filter(({ described }) => described.excluded) };
  const why = all.map(({ described }) => described.excluded!.detail);
  throw new HypervisorError(
    'UNSUPPORTED',
    `${machine} has no disk to back up${why.length === 0 ? '' : `: ${why.join('; ')}`}`,
  );
}

/** Why each of them is left out, and what to do about what was not chosen. */
export function leftFindings(left: readonly KnownDisk[]): readonly Finding[] {
  return left.map(({ name: disk, described: { excluded } }): Finding => {
    const isChosen = excluded!.reason === 'chosen' || excluded!.reason === 'removable';
    const found = { code: 'disk-excluded', disk, message: excluded!.detail } as const;
    if (isChosen) return { level: 'note', ...found };
    const remedy = `back its contents up from inside the guest, and leave it out here: --exclude ${disk}`;
    return { level: 'warning', ...found, remedy };
  });
}

/** As `chooseDisks` describes all of them, in their order. */
export function describedDisks(
  machine: { readonly name: string; readonly disks: readonly KnownDisk[] },
  wish: BackupWish,
): readonly DescribedDisk[] {
  const { read, left } = chooseDisks(machine, wish);
  const chosen = new Map([...read, ...left].map(({ name, described }) => [name, described]));
  return machine.disks.map(({ name }) => chosen.get(name)!);
}

/** A disk that is named is read only if it can be. */
function chosen(disk: DescribedDisk, { only, exclude }: BackupWish): DescribedDisk {
  if (disk.excluded) return disk;
  const isWanted = (only?.includes(disk.name) ?? true) && !exclude.includes(disk.name);
  if (isWanted) return disk;
  return { ...disk, excluded: { reason: 'chosen', detail: `${disk.name} was left out by choice` } };
}
