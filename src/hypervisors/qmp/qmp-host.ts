import type { Clock } from '../../sys/base/clock.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import type { HypervisorOptions } from '../base/hypervisor.ts';

/** What the parts of this driver share: lent to them. */
export interface QmpHost extends HypervisorOptions {
  /** Where the sockets of the machines are. */
  readonly directory: string;
  /** Where QEMU makes sockets for backups. */
  readonly sockets: string;
  /** A directory for what guests overwrite during a backup; undefined: beside each image. */
  readonly scratch: string | undefined;
  readonly clock: Clock;
  readonly files: Pick<FileSystem, 'list' | 'readFile' | 'unlink'>;
  /** Names of machines by their UUIDs, as they were last seen: where to look first. */
  readonly seen: Map<string, string>;
}

const PREFIX = 'holdfast';

/** With which all names begin that a backup of this store makes in QEMU. */
export function markOf({ owner }: Pick<QmpHost, 'owner'>): string {
  return `${PREFIX}-${owner}-`;
}

/** Whether any Holdfast made it. */
export function isHoldfasts(name: string): boolean {
  return name.startsWith(`${PREFIX}-`);
}
