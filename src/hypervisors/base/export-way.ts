import { nbdUri } from '../../block/nbd-client/nbd-uri.ts';
import type { Finding } from './finding.ts';

/** How a host reaches the disks that a session serves at a socket of this machine. */
export interface ExportWay {
  /** What stands in its way, or should be known of it, before it is needed. */
  readonly findings: readonly Finding[];
  /** The address of a disk as machines there are given it: the same each time, whether the way is open or not. */
  urlOf(served: ServedSocket, disk: string): string;
  /** Opens it, and opens it again whenever it is lost, until it is disposed of. */
  open(served: ServedSocket, onNotice: (message: string) => void): OpenExportWay;
}

export interface ServedSocket {
  /** The ID of the session. */
  readonly session: string;
  /** Its path on this machine. */
  readonly socket: string;
}

export interface OpenExportWay extends AsyncDisposable {
  /** Resolves once the host reaches the disks. Rejects HypervisorError with why the last attempt has failed. */
  reached(signal: AbortSignal): Promise<void>;
}

/** The host is this machine: it opens the socket itself. */
export const localExports: ExportWay = {
  findings: [],
  urlOf: ({ socket }, disk) => nbdUri({ kind: 'unix', path: socket }, disk, false),
  open: () => ({
    reached: async (signal) => signal.throwIfAborted(),
    async [Symbol.asyncDispose]() {},
  }),
};
