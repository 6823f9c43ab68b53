import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import { capacityFile, type CapacityRecord } from '../formats/store/service/capacity.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import type { World } from '../sys/world.ts';
import { makeOwnDirectory } from './own-directory.ts';

/* How many machines this box carries, as it was measured last. */

const LENGTH_MAX = 64 * 1024;

/** Undefined: it was not measured, or the record cannot be read. */
export async function knownCapacity(
  { files }: World,
  directory: string,
): Promise<CapacityRecord | undefined> {
  const path = pathIn(directory);
  if (!(await files.stat(path))) return undefined;
  try {
    return capacityFile.decode(await files.readFile(path, LENGTH_MAX));
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return undefined;
  }
}

export async function keepCapacity(
  world: World,
  directory: string,
  record: CapacityRecord,
): Promise<void> {
  await makeOwnDirectory(world, directory);
  await putDurably(world.files, pathIn(directory), capacityFile.encode(record, 'checked'));
}

function pathIn(directory: string): string {
  return join(directory, 'capacity.json');
}
