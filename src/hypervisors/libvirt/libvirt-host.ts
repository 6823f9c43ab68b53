import type { Clock } from '../../sys/base/clock.ts';
import type { HypervisorOptions } from '../base/hypervisor.ts';
import type { HostFiles, WithPool } from './host-files.ts';
import type { Link } from './link.ts';
import type { DataWay } from './data-way.ts';

/** What the parts of this driver share: lent to them. */
export interface LibvirtHost extends HypervisorOptions {
  readonly link: Link;
  /** Another connection to the same host, in place of one that was cut. The caller disposes of it. */
  readonly reconnect: (signal: AbortSignal) => Promise<Link>;
  readonly way: DataWay;
  readonly files: HostFiles;
  readonly withPool: WithPool;
  readonly clock: Clock;
  /** Whether its files are those of this machine. */
  readonly isLocal: boolean;
  /** A directory of the host for what guests overwrite during a backup; undefined: beside each image. */
  readonly scratch: string | undefined;
  /** "QEMU 7.2.22, libvirt 9.0.0". */
  readonly product: string;
}
