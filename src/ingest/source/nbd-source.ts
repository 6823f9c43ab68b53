import { openNbdDisk } from '../../block/nbd-client/nbd-disk.ts';
import { ownedSource, type Source } from './source.ts';

/** What an NBD server exports, as a URI names it. Rejects IngestError, SystemError, BlockError. */
export async function nbdSource(uri: string): Promise<Source> {
  await using stack = new AsyncDisposableStack();
  const device = stack.use(await openNbdDisk(uri));
  return await ownedSource(device, uri, { stack });
}
