import { join } from 'node:path/posix';
import { printable } from '../../lib/printable.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { privateDirectory } from '../../sys/files/private-directory.ts';
import { start } from '../../sys/process/run.ts';
import { type NbdDisk, openNbdDisk } from './nbd-disk.ts';

/** A disk that a qemu-nbd of ours serves, on a socket that only this process can reach; closing it ends the program. */
export interface QemuNbd extends AsyncDisposable {
  readonly disk: NbdDisk;
  /** The process ID of that program. */
  readonly pid: number;
}

const START_MS = 15_000;
const POLL_MS = 10;
const REASON_MAX = 500;

interface QemuNbdOptions {
  /** Names of dirty bitmaps that it offers. */
  readonly bitmaps?: readonly string[];
}

/** `image`: its words for what it opens, and how. Rejects FAILED with the last line of what it says. */
export async function startQemuNbd(
  clock: Clock,
  image: readonly string[],
  { bitmaps = [] }: QemuNbdOptions = {},
): Promise<QemuNbd> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await privateDirectory());
  const socket = join(directory.path, 'image.sock');
  const program = stack.use(
    await start(
      'qemu-nbd',
      [
        ...['--socket', socket, '--export-name', 'disk', '--persistent', '--cache=writeback'],
        ...bitmaps.map((it) => `--bitmap=${it}`),
        ...image,
      ],
      { output: 'capture' },
    ),
  );
  const state = { hasEnded: false };
  const watched = program.exited.then(({ stderr }) => {
    state.hasEnded = true;
    return stderr;
  });
  const uri = `nbd+unix:///disk?socket=${socket}`;
  for (let waited = 0; !state.hasEnded; waited += POLL_MS) {
    try {
      const disk = stack.use(await openNbdDisk(uri, { bitmaps }));
      const owned = stack.move();
      return { disk, pid: program.pid, [Symbol.asyncDispose]: () => owned.disposeAsync() };
    } catch (cause) {
      if (waited > START_MS || !(cause instanceof SystemError)) throw cause;
      await clock.sleep(POLL_MS);
    }
  }
  const reason = (await watched).trim().split('\n').at(-1)!;
  throw new SystemError('FAILED', printable(reason.slice(0, REASON_MAX)));
}
