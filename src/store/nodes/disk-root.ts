import type { Reference } from '../../formats/store/packs/node.ts';

/** The root of a disk's manifest; its level follows from the disk's size (`rootLevel`). */
export interface DiskRoot {
  readonly size: number;
  /** Undefined: the whole disk reads as zeros. */
  readonly reference: Reference | undefined;
}
