import type { NbdOptions } from '../../block/nbd-client/nbd-disk.ts';
import { isNbdUri } from '../../block/nbd-client/nbd-uri.ts';
import type { World } from '../../sys/world.ts';
import { type ImageOptions, imageSource } from './image-source.ts';
import { IngestError } from './ingest-error.ts';
import { nbdSource } from './nbd-source.ts';
import type { Source } from './source.ts';

/** `where`: a file, a block device, or an NBD URI. Rejects IngestError, SystemError, BlockError. */
export async function openSource(
  world: Pick<World, 'files' | 'clock'>,
  where: string,
  options: ImageOptions & Pick<NbdOptions, 'signal'>,
): Promise<Source> {
  if (!isNbdUri(where)) return imageSource(world, where, options);
  const { format, signal } = options;
  if (format === undefined || format === 'raw') {
    return nbdSource(where, { files: world.files, signal });
  }
  throw new IngestError('UNSUPPORTED', `${where}: an NBD export is raw, not ${format}`);
}
