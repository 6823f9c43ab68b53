import { type MemoryBudget, memoryBudget } from '../lib/memory-budget.ts';
import { KiB, MiB } from '../lib/sizes.ts';

/** As NFS has it. */
const WRITES_MAX = 128 * MiB;
/** A connection has as much memory to receive into. */
const WRITES_OWN = 256 * KiB;

/** For what clients of NBD write, until it is written: of all servers of a process together. */
export function nbdMemory(): MemoryBudget {
  return memoryBudget({ max: WRITES_MAX, own: WRITES_OWN });
}
