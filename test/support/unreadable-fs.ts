import { SystemError } from '../../src/sys/base/system-error.ts';
import type { File } from '../../src/sys/files/file-system.ts';
import type { CrashingFs } from './crashing-fs.ts';

export interface Spot {
  readonly path: string;
  /** In bytes of the file. */
  readonly from: number;
  readonly to: number;
}

/** The same disk, which no longer gives what lies at `spot`, to this process and the next one. */
export function unreadable(disk: CrashingFs, spot: Spot): CrashingFs {
  function check(path: string, into: Uint8Array, offset: number): void {
    if (path !== spot.path || offset >= spot.to || offset + into.length <= spot.from) return;
    throw new SystemError('IO', `read ${path}: the device has failed`);
  }
  function wrapped(file: File): File {
    const { path } = file;
    return {
      ...file,
      async read(into, offset) {
        check(path, into, offset);
        return file.read(into, offset);
      },
      readNow(into, offset) {
        check(path, into, offset);
        return file.readNow(into, offset);
      },
      readCached(into, offset) {
        check(path, into, offset);
        return file.readCached(into, offset);
      },
      [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
    };
  }
  const { files } = disk;
  return {
    ...disk,
    files: {
      ...files,
      create: async (...all) => wrapped(await files.create(...all)),
      open: async (...all) => wrapped(await files.open(...all)),
      async readFile(path, limit) {
        const bytes = await files.readFile(path, limit);
        check(path, bytes, 0);
        return bytes;
      },
    },
    kill: (...all) => unreadable(disk.kill(...all), spot),
    reboot: (...all) => unreadable(disk.reboot(...all), spot),
  };
}
