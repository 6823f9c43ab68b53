import type { DescribedDisk } from '../../formats/store/catalog/machine.ts';
import type { BackupWish } from '../base/backup-driver.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { Domain, DomainDisk } from './domain.ts';

/** The disks that a backup reads, and those that it leaves out, each with the reason. */
export interface ChosenDisks {
  readonly read: readonly DomainDisk[];
  readonly left: readonly DomainDisk[];
}

/** Rejects NOT_FOUND for a disk that the machine does not have, UNSUPPORTED if none is left. */
export function chooseDisks({ name: machine, disks }: Domain, wish: BackupWish): ChosenDisks {
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

/** A disk that is named is read only if it can be. */
function chosen(disk: DescribedDisk, { only, exclude }: BackupWish): DescribedDisk {
  if (disk.excluded) return disk;
  const isWanted = (only?.includes(disk.name) ?? true) && !exclude.includes(disk.name);
  if (isWanted) return disk;
  return { ...disk, excluded: { reason: 'chosen', detail: `${disk.name} was left out by choice` } };
}
