import { formatSize } from '../../lib/sizes.ts';
import type { FinalizedSession } from '../../operations/nouns/finalize.ts';

/** Disks that were written to permanent storage, a line each. */
export function writtenLines(disks: FinalizedSession['disks']): string[] {
  return disks.map(({ disk, to, format, writtenBytes }) => {
    const what =
      writtenBytes === 0 ? 'verified' : `${formatSize(writtenBytes)} written and verified`;
    return `  ${disk}  ${to}, ${format} (${what})`;
  });
}
