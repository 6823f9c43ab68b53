import type { ExportWay } from '../../base/export-way.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import type { Link } from '../link.ts';

/** What the parts of this driver share: lent to them. */
export interface RunHost extends LibvirtHost {
  readonly exports: ExportWay;
  /** Another connection to the same host, for events: it is opened again when it is lost. */
  connect(signal: AbortSignal): Promise<Link>;
}
