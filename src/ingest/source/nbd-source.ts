import { type NbdOptions, openNbdDisk } from '../../block/nbd-client/nbd-disk.ts';
import { ownedSource, type Source } from './source.ts';

/** An export of an NBD server, named by a URI. Rejects IngestError, SystemError, BlockError. */
export async function nbdSource(
  uri: string,
  options?: Pick<NbdOptions, 'files' | 'signal'>,
): Promise<Source> {
  await using stack = new AsyncDisposableStack();
  const device = stack.use(await openNbdDisk(uri, options));
  return await ownedSource(device, uri, { stack });
}
