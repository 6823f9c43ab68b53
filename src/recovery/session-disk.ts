import type { WritableBlockDevice } from '../block/block-device.ts';
import { blockError } from '../block/file.ts';
import { writeLayer } from '../block/layer.ts';
import { type NbdDisk, openNbdDisk } from '../block/nbd-disk.ts';
import type { SessionRecord } from '../formats/store/session.ts';

/**
 * A disk of a session that another process runs, through the export that its guests use too; connected when it
 * is first wanted, and anew when the session was restarted meanwhile.
 */
export function sessionDisk(uri: string, size: number): WritableBlockDevice {
  let connected: Promise<NbdDisk> | undefined;

  /** Once more over a new connection where the old one was gone: every request can be repeated. */
  async function remote<T>(work: (disk: NbdDisk) => Promise<T>): Promise<T> {
    try {
      const before = connected;
      const disk = await (connected ??= openNbdDisk(uri));
      try {
        return await work(disk);
      } catch (cause) {
        if (before === undefined) throw cause;
        if (connected === before) connected = openNbdDisk(uri);
        void disk[Symbol.asyncDispose]().then(undefined, () => {});
        return await work(await connected);
      }
    } catch (cause) {
      connected = undefined;
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

/** Where a session's disk is exported; undefined: to clients with certificates or keys only. */
export function sessionDiskUri({ listen, tls }: SessionRecord, disk: string): string | undefined {
  if (tls) return undefined;
  const [kind, ...rest] = listen.split(':');
  const place = rest.join(':');
  if (kind === 'unix') return `nbd+unix:///${disk}?socket=${encodeURIComponent(place)}`;
  if (kind === 'tcp') return `nbd://${place}/${disk}`;
  return undefined;
}
