import type { SessionPhase, SessionRecord } from '../../../formats/store/sessions/session.ts';
import type {
  ExportWay,
  OpenExportWay,
  ServedSocket,
} from '../../../hypervisors/base/export-way.ts';
import { HypervisorError } from '../../../hypervisors/base/hypervisor-error.ts';
import { SessionError } from '../../../sessions/state/session-error.ts';
import { parseListenAddress } from '../../base/listen-address.ts';

/** The way from a session's hypervisor to its disks, open while its machine is to run on them. */
export interface HostReach {
  /** Rejects BUSY where it is not open yet, or was lost: it is opened again. */
  require(exports: ExportWay, record: SessionRecord, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

const SERVED: ReadonlySet<SessionPhase> = new Set(['placing', 'running', 'copying', 'pivoting']);

export function hostReach(onNotice: (message: string) => void): HostReach {
  let way: OpenExportWay | undefined;
  async function close(): Promise<void> {
    const open = way;
    way = undefined;
    await open?.[Symbol.asyncDispose]();
  }
  return {
    close,
    async require(exports, record, signal) {
      if (!SERVED.has(record.phase)) return;
      way ??= exports.open(servedSocket(record), onNotice);
      try {
        await way.reached(signal);
      } catch (cause) {
        if (!(cause instanceof HypervisorError)) throw cause;
        const message = `the hypervisor does not reach the disks that are served here: ${cause.message}`;
        throw new HypervisorError('BUSY', message, { cause, native: cause.native });
      }
    },
  };
}

/** Throws IMPOSSIBLE if it is not served at a socket of this host. */
export function servedSocket({ id, listen }: SessionRecord): ServedSocket {
  const address = parseListenAddress(listen);
  if (address.kind === 'unix') return { session: id, socket: address.path };
  const what = `session ${id} is served at ${listen}, and hypervisors reach sockets`;
  throw new SessionError('IMPOSSIBLE', `${what}: resume it without an address`);
}
