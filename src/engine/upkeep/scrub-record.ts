import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import { scrubFile, type ScrubRecord } from '../../formats/store/service/scrub.ts';
import { SystemError } from '../../sys/base/system-error.ts';
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
  try {
    if (!(await files.stat(path))) return NONE;
    return scrubFile.decode(await files.readFile(path, LENGTH_MAX), 'checked');
  } catch (cause) {
    if (!(cause instanceof FormatError) && !(cause instanceof SystemError)) throw cause;
    return NONE;
  }
}
