import { join } from 'node:path/posix';
import { nbdUri } from '../../../block/nbd-client/nbd-uri.ts';
import { sessionMark } from '../../../formats/store/sessions/session-uuid.ts';
import type { Clock } from '../../../sys/base/clock.ts';
import { SystemError } from '../../../sys/base/system-error.ts';
import { privateDirectory } from '../../../sys/files/private-directory.ts';
import {
  type ExportWay,
  localExports,
  type OpenExportWay,
  type ServedSocket,
} from '../../base/export-way.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { SshTarget } from '../../base/target.ts';
import { forwardOf, openTunnel, ready, type Tunnel } from '../ssh-tunnel.ts';

/*
 * How QEMU reaches the disks of a session. On this host it opens the session's socket. On another host it opens a
 * socket there, which an `ssh` for each session passes on to the one here (ssh(1), -R): no port is open, on neither
 * host, and the socket lies in a directory that only QEMU and our account may enter. When the connection is lost, QEMU
 * stops the machine at its next request; the way is opened again, and the machine goes on.
 */

/** QEMU would need certificates of ours, and libvirt names no others for one disk than for all. */
export const noTlsExports: ExportWay = {
  findings: [
    {
      ...{ level: 'blocker', code: 'data-path' },
      message:
        'the hypervisor is reached through TLS, and through TLS its machines cannot reach the disks of a session',
      remedy:
        'add it with its SSH address: "holdfast hypervisor add NAME qemu+ssh://ACCOUNT@HOST/system"',
    },
  ],
  urlOf: localExports.urlOf,
  open: () => ({
    async reached() {
      throw new HypervisorError('UNSUPPORTED', noTlsExports.findings[0]!.message);
    },
    async [Symbol.asyncDispose]() {},
  }),
};

/** An attempt follows another after such a time, which doubles. */
const FIRST_MS = 1000;
const LONGEST_MS = 30_000;

/** `directory`: of the host, where sshd makes the sockets. */
export function sshExports(ssh: SshTarget, directory: string, clock: Clock): ExportWay {
  const socketOf = ({ session }: ServedSocket): string => socketIn(directory, session);
  return {
    findings: [],
    urlOf: (served, disk) => nbdUri({ kind: 'unix', path: socketOf(served) }, disk, false),
    open: (served, onNotice) =>
      keptOpen({ ssh, clock, here: served.socket, there: socketOf(served), onNotice }),
  };
}

/** A longer path of a socket, in bytes, is one that the kernel does not take (unix(7), sun_path, with its NUL). */
const SOCKET_PATH_MAX = 107;

/** The same each time: the machine's definition has it. */
function socketIn(directory: string, session: string): string {
  const path = join(directory, `holdfast-run-${session}.nbd`);
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
  return join(directory, `holdfast-run-${sessionMark(session)}.nbd`);
}

interface Way {
  readonly ssh: SshTarget;
  readonly clock: Clock;
  readonly here: string;
  readonly there: string;
  readonly onNotice: (message: string) => void;
}

function keptOpen(way: Way): OpenExportWay {
  const { clock, onNotice } = way;
  const end = new AbortController();
  let outcome = Promise.withResolvers<HypervisorError | undefined>();
  /** Resolved with what has come of the last attempt. */
  let last = outcome.promise;
  function tell(found: HypervisorError | undefined): void {
    outcome.resolve(found);
    last = Promise.resolve(found);
  }

  /** Resolves when it is lost again. Rejects HypervisorError. */
  async function openOnce(): Promise<void> {
    await using probing = await privateDirectory();
    const probe = join(probing.path, 'disks.sock');
    const forwards = ['-R', forwardOf(way.there, way.here), '-L', forwardOf(probe, way.there)];
    await using tunnel = await openTunnel(way.ssh, forwards);
    const leave = (): void => tunnel.stream.destroy();
    end.signal.addEventListener('abort', leave, { once: true });
    let failure: HypervisorError;
    try {
      // Through the host and back: what answers there is what is served here.
      const refused = (lost: Tunnel) => closedThere(lost, way);
      await ready(tunnel, { ...way, socket: probe, signal: end.signal, refused });
      tell(undefined);
      failure = await tunnel.failure();
    } finally {
      // It is opened for as long as the session lasts, and each attempt has a tunnel of its own.
      end.signal.removeEventListener('abort', leave);
    }
    end.signal.throwIfAborted();
    outcome = Promise.withResolvers();
    last = outcome.promise;
    onNotice(
      `the hypervisor no longer reaches the disks; the connection is made again: ${failure.message}`,
    );
  }

  async function keep(): Promise<void> {
    let pause = FIRST_MS;
    while (!end.signal.aborted) {
      try {
        await openOnce();
        pause = FIRST_MS;
      } catch (cause) {
        if (end.signal.aborted) return;
        const failure = failureHere(cause);
        if (!failure) throw cause;
        tell(forwardRefused(failure, way) ?? failure);
        pause = Math.min(pause * 2, LONGEST_MS);
      }
      await clock.sleep(pause, end.signal).catch(() => {});
    }
  }

  const kept = keep();
  return {
    async reached(signal) {
      const { promise, reject } = Promise.withResolvers<never>();
      const leave = (): void => reject(signal.reason as Error);
      if (signal.aborted) leave();
      signal.addEventListener('abort', leave, { once: true });
      try {
        const failure = await Promise.race([last, promise]);
        if (failure) throw failure;
      } finally {
        signal.removeEventListener('abort', leave);
      }
    },
    async [Symbol.asyncDispose]() {
      end.abort();
      await kept;
    },
  };
}

/** Also that of this host, whose disk may be full at the moment. Undefined: a bug. */
function failureHere(cause: unknown): HypervisorError | undefined {
  if (cause instanceof HypervisorError) return cause;
  // The first failure, and that of what was to be removed after it.
  if (cause instanceof SuppressedError) return failureHere(cause.suppressed);
  if (!(cause instanceof SystemError)) return undefined;
  return new HypervisorError('FAILED', cause.message, { cause });
}

const STEPS = 'do the steps that "holdfast hypervisor show" prints';

/** Undefined: it failed for another reason. */
function forwardRefused(cause: HypervisorError, { ssh, there }: Way): HypervisorError | undefined {
  const { native = '' } = cause;
  if (!/remote port forwarding failed/.test(native)) return undefined;
  const message = `${ssh.host} does not let the account "${ssh.account}" make the socket ${there}: ${STEPS}`;
  return new HypervisorError('DENIED', message, { cause, native });
}

async function closedThere(tunnel: Tunnel, { ssh, there }: Way): Promise<HypervisorError> {
  tunnel.stream.destroy();
  const { stderr } = await tunnel.stream.ended;
  const message = `${ssh.host} does not pass the socket ${there} on to the disks that are served here: ${STEPS}`;
  return new HypervisorError('DENIED', message, { native: stderr.trim().slice(-2000) });
}
