/**
 * Disks of a machine as files that other programs can open. They may lie on a mount that this process serves: it must
 * not access them itself.
 */
export interface DiskFiles {
  /** `vda` */
  readonly disk: string;
  /** Path of the whole raw disk. */
  readonly path: string;
  /** Path of one partition as a file of its own. */
  partition(number: number): string;
}
