import { IngestError } from '../../ingest/source/ingest-error.ts';
import { lookAtDevice } from '../../host/disks/disks.ts';
import type { RunProgram } from '../../host/base/programs.ts';

/**
 * Allows overwriting a device that is empty, or whose serial number (its name, if it has none) was typed: names such
 * as sdb change from one start to the next. Rejects REFUSED.
 */
export async function requireErasable(
  run: RunProgram,
  path: string,
  erase: readonly string[],
): Promise<void> {
  const { name, model, serial, holds } = await lookAtDevice(run, path);
  const word = serial ?? name;
  const named = erase.join(', ');
  if (erase.length > 0 && !erase.includes(word)) {
    throw new IngestError(
      'REFUSED',
      `${path} is ${model ?? 'a device without a model'}, ${word}, and --erase names ${named}: nothing was written`,
    );
  }
  if (holds.length === 0 || erase.includes(word)) return;
  throw new IngestError(
    'REFUSED',
    `${path} (${model ?? 'no model'}) is not empty: ${holds.join('; ')}. Nothing was written. To erase it, name ` +
      `${serial === null ? 'the device' : 'its serial number'}: --erase ${word}`,
  );
}
