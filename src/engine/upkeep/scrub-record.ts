import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import { scrubFile, type ScrubRecord } from '../../formats/store/service/scrub.ts';
import type { World } from '../../sys/world.ts';

const FILE = 'scrub.json';
const LENGTH_MAX = 256 * 1024;

const NONE: ScrubRecord = { pass: undefined, lastRun: undefined, hurt: [] };

export function scrubPath(directory: string): string {
  return join(directory, FILE);
}

/** As the store has it; an unreadable one counts as none. */
export async function readScrub({ files }: World, directory: string): Promise<ScrubRecord> {
  const path = scrubPath(directory);
  if (!(await files.stat(path))) return NONE;
  try {
    return scrubFile.decode(await files.readFile(path, LENGTH_MAX), 'checked');
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return NONE;
  }
}
