import { memoryBudget } from '../../lib/memory-budget.ts';
import { KiB, MiB } from '../../lib/sizes.ts';
import type { NbdMemory } from '../../servers/nbd/server.ts';

/** The sum for all servers, over NBD and NFS. */
const WRITES_MAX = 128 * MiB;
/** As much as a connection's memory for receiving. */
const WRITES_OWN = 256 * KiB;

const READS_MAX = 128 * MiB;
/** More than guests read at once: only programs that copy disks read more, and may have to wait. */
const READS_OWN = MiB;

/** The memory shared by all servers of a process: for writes over NBD and NFS, and reads over NBD. */
export function guestMemory(): NbdMemory {
  return {
    writes: memoryBudget({ max: WRITES_MAX, own: WRITES_OWN }),
    reads: memoryBudget({ max: READS_MAX, own: READS_OWN }),
  };
}
