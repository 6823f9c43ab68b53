import type { WritableBlockDevice } from '../../block/block-device.ts';
import { blockError } from '../../block/file.ts';
import { writeLayer } from '../../block/layer.ts';
import { type NbdDisk, openNbdDisk } from '../../block/nbd-client/nbd-disk.ts';

/**
 * A disk of a session that another process runs, through the export that its guests use too; connected when it is
 * first used, and again after the session was restarted.
 */
export function sessionDisk(uri: string, size: number): WritableBlockDevice {
  let connected: Promise<NbdDisk> | undefined;

  async function connection(): Promise<NbdDisk> {
    const last = connected;
    const isGone = (await last?.catch(() => undefined))?.isGone;
    if (isGone && connected === last) connected = undefined;
    const opening = (connected ??= openNbdDisk(uri));
    try {
      return await opening;
    } catch (cause) {
      if (connected === opening) connected = undefined;
      throw cause;
    }
  }
  /** Repeats a request over a new connection if the old one is gone: every request can be repeated. */
  async function remote<T>(work: (disk: NbdDisk) => Promise<T>): Promise<T> {
    try {
      const disk = await connection();
      try {
        return await work(disk);
      } catch (cause) {
        if (!disk.isGone) throw cause;
        return await work(await connection());
      }
    } catch (cause) {
      throw blockError(cause, uri);
    }
  }
  return writeLayer(
    uri,
    { size, blockSize: 4096 },
    {
      read: (into, offset) => remote((disk) => disk.read(into, offset)),
      extents: (offset, length) => remote((disk) => disk.extents(offset, length)),
      write: (from, offset, durability) => remote((disk) => disk.write(from, offset, durability)),
      zero: (offset, length, durability) => remote((disk) => disk.zero(offset, length, durability)),
      flush: () => remote((disk) => disk.flush()),
      async close() {
        const disk = await connected?.catch(() => undefined);
        await disk?.[Symbol.asyncDispose]();
      },
    },
  );
}
