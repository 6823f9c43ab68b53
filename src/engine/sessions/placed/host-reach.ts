import type { SessionPhase, SessionRecord } from '../../../formats/store/sessions/session.ts';
import type {
  ExportWay,
  OpenExportWay,
  ServedSocket,
} from '../../../hypervisors/base/export-way.ts';
import { HypervisorError } from '../../../hypervisors/base/hypervisor-error.ts';
import { SessionError } from '../../../sessions/state/session-error.ts';
import { parseListenAddress } from '../../base/listen-address.ts';

/** The way from a session's hypervisor to its disks, open while its machine is on them. */
export interface HostReach {
  /**
   * Rejects BUSY where it is not open yet, or was lost: it is opened again. While the machine is withdrawn, resolves
   * also then.
   */
  require(exports: ExportWay, record: SessionRecord, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

const SERVED: ReadonlySet<SessionPhase> = new Set(['placing', 'running', 'copying', 'pivoting']);

/** A guest that shuts down writes to its disks; a machine that is switched off needs none of them. */
const isWanted = (phase: SessionPhase): boolean => SERVED.has(phase) || phase === 'withdrawing';

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
      if (!isWanted(record.phase)) return;
      const isNeeded = SERVED.has(record.phase);
      try {
        way ??= exports.open(servedSocket(record), onNotice);
        await way.reached(signal);
      } catch (cause) {
        if (!isNeeded && (cause instanceof HypervisorError || cause instanceof SessionError))
          return;
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
  const what = `session ${id} is served at ${listen}, and hypervisors reach only its Unix socket`;
  throw new SessionError('IMPOSSIBLE', `${what}: resume it without an address`);
}
