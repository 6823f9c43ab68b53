import { readdirSync, readFileSync } from 'node:fs';
import type { LibvirtHost } from './libvirt.ts';
import type { LibvirtWire } from './libvirt-wire.ts';
import { program } from './programs.ts';
import type { RunningService } from './service.ts';

/**
 * `service`: SIGKILL of it, and it is started again. `worker`: SIGKILL of the process in which it does long work.
 * `libvirtd`: the same, its machines run on. `libvirt`: the service's connections to it are cut. `disks`: QEMU's
 * connections to the disks that the service serves are cut.
 */
export type KillKind = 'service' | 'worker' | 'libvirtd' | 'libvirt' | 'disks';

export interface RunKillers extends AsyncDisposable {
  /** Resolves once it is dead, and with whether there was something to kill; `mended` with what was started again. */
  now(kind: KillKind): Promise<boolean>;
  mended(): Promise<void>;
  /** Whether the service has such a process. */
  isAtWork(): boolean;
  /** What the services so far have logged. */
  log(): string;
}

interface Killed {
  readonly host: LibvirtHost;
  readonly wire: LibvirtWire;
  /** Where the service has its sockets for QEMU. */
  readonly exports: string;
  start(): Promise<RunningService>;
}

const LOG_MAX = 12_000;

export async function runKillers({ host, wire, exports, start }: Killed): Promise<RunKillers> {
  let service = await start();
  let mending: Promise<void> = Promise.resolve();
  let before = '';
  const workers = (): readonly number[] => childrenOf(service.pid).filter(isWorker);
  const ways: Record<KillKind, () => Promise<boolean>> = {
    async service() {
      await service.stop('SIGKILL');
      before += `${service.log()}\n`;
      mending = start().then((it) => void (service = it));
      return true;
    },
    async worker() {
      const [pid] = workers();
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
      return pid !== undefined;
    },
    async libvirtd() {
      await host.restart('kill');
      return true;
    },
    async libvirt() {
      wire.setUp(false);
      wire.setUp(true);
      return true;
    },
    async disks() {
      const script = new URL('cut-connections.py', import.meta.url).pathname;
      return Number(await program('python3', script, String(service.pid), exports)) > 0;
    },
  };
  return {
    now: (kind) => ways[kind](),
    mended: () => mending,
    isAtWork: () => workers().length > 0,
    log: () => (before + service.log()).slice(-LOG_MAX),
    async [Symbol.asyncDispose]() {
      await mending.catch(() => {});
      await service[Symbol.asyncDispose]();
    },
  };
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8')
        .split(' ')
        .filter(Boolean)
        .map(Number),
    );
  } catch {
    // It, or a thread of it, has just ended.
    return [];
  }
}

function isWorker(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('operation-worker');
  } catch {
    return false;
  }
}
