import type { OpenSet } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { Clock } from '../../sys/base/clock.ts';
import {
  type FuseMount,
  kernelResends,
  mountedDevice,
  openFuseMount,
} from '../../sys/fuse/fuse-mount.ts';
import { type OwnProcess, startOwnProcess } from '../../sys/process/own-process.ts';
import type { ServeEvent, ServeRequest } from './mount-server.ts';
import { SystemError } from '../../sys/base/system-error.ts';

/**
 * The store as a file system: this process holds the mount, another one serves it. When that dies, the next one takes
 * over its unanswered requests, so that clients see a pause. Disposing unmounts.
 */
export interface StoreMount extends AsyncDisposable {
  readonly directory: string;
  /** Process ID of the current server. */
  readonly serverPid: number;
  /** Resolves once it was unmounted; rejects when it can no longer be served. */
  readonly ended: Promise<void>;
}

export interface MountOptions {
  readonly clock: Clock;
  /** The store's directory. */
  readonly store: string;
  readonly directory: string;
  readonly sets: readonly OpenSet[];
  /** Shows only this recovery point, or this session. */
  readonly only?: string | undefined;
  /** The point that `only` means: the caller has a lease on it, for as long as the mount is there. */
  readonly held?: PointRecord | undefined;
  /** Whether the kernel resends requests of a dead server; default: as this kernel does. */
  readonly resends?: boolean;
  /** Called when the server died, and another one continues. */
  readonly onRestart: (how: string) => void;
}

/** A server that dies this soon after its start, several times in a row, will not survive. */
const SHORT_LIFE_MS = 100;
const SHORT_LIVES_MAX = 5;

/** `directory` is absolute and exists. */
export async function mountStore(options: MountOptions): Promise<StoreMount> {
  const { clock, directory, resends = kernelResends() } = options;
  let held = openFuseMount(directory, { source: `holdfast:${options.store}` });
  let server: OwnProcess<ServeRequest, ServeEvent>;
  let isStopping = false;

  async function start(mount: FuseMount, isSuccessor: boolean): Promise<void> {
    const { store, only, held: point } = options;
    // What else an open set has cannot be sent to another process, which only reads.
    const sets = options.sets.map(({ name, record, keys }) => ({ name, record, keys }));
    server = await startOwnProcess(SERVER, { descriptors: [mount.fd], servesFiles: true });
    server.post({ store, directory, sets, only, held: point, isSuccessor });
    await serving(server);
  }
  /** Handles the end of the server: does nothing if the mount has ended too. */
  async function supervise(): Promise<void> {
    for (let short = 0; ; ) {
      const began = clock.monotonicMs();
      const how = await server.ended;
      if (isStopping || (await mountedDevice(directory)) === undefined) return;
      short = clock.monotonicMs() - began < SHORT_LIFE_MS ? short + 1 : 0;
      if (short >= SHORT_LIVES_MAX) {
        throw new SystemError(
          'FAILED',
          `${directory} cannot be served: its process ends with ${how}`,
        );
      }
      options.onRestart(how);
      if (!resends) await remount();
      // A server that dies at once is counted above.
      await start(held.mount, resends).catch(() => {});
    }
  }
  /** An old kernel never resends requests that died with the server: processes that wait for them get an error. */
  async function remount(): Promise<void> {
    await held.mount.end(false);
    held = openFuseMount(directory, { source: `holdfast:${options.store}` });
    held.mounted.catch(() => {});
  }
  try {
    await Promise.all([start(held.mount, false), held.mounted]);
  } catch (cause) {
    isStopping = true;
    await held.mount.end(false);
    await server![Symbol.asyncDispose]();
    throw cause;
  }
  await held.mount.readAhead();
  const ended = supervise();
  ended.catch(() => {});
  return {
    directory,
    get serverPid() {
      return server.pid;
    },
    ended,
    async [Symbol.asyncDispose]() {
      isStopping = true;
      // Unmounted first: its server answers until then, and ends on its own.
      await held.mount.end(server.isRunning);
      await server[Symbol.asyncDispose]();
      await ended.catch(() => {});
    },
  };
}

const SERVER = new URL('./mount-server.ts', import.meta.url);

/** Rejects with the reason why it cannot serve. */
function serving(server: OwnProcess<ServeRequest, ServeEvent>): Promise<void> {
  return new Promise((resolve, reject) => {
    server.onMessage = (event) => {
      if (event.kind === 'serving') resolve();
      else reject(new SystemError('FAILED', event.message));
    };
    void server.ended.then((how) => reject(new SystemError('FAILED', `the server ended: ${how}`)));
  });
}
