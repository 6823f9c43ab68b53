import { QMP } from '../../hypervisors/qmp/commands.ts';
import { type UserConnection, userConnectionsIn } from '../../formats/wire/usernet.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { connect } from '../../sys/net/network.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { statusOfWeb } from '../../sys/net/web-get.ts';
import type { RunningGuest } from './running-guest.ts';

/*
 * Ports of the guest, through the private network. QEMU accepts a connection before it asks the guest, so an open
 * connection proves nothing: QEMU says whether the guest has answered.
 */

export interface HttpCheck {
  readonly protocol: 'http' | 'https';
  readonly port: number;
  readonly path: string;
}

export interface GuestPorts {
  /** The port of this box that leads to one of the guest. */
  at(port: number, signal: AbortSignal): Promise<number>;
  /** What was seen, for people; rejects if the guest does not accept a connection. */
  open(port: number, signal: AbortSignal): Promise<string>;
  /** Rejects if there is no answer, or a bad one. */
  get(check: HttpCheck, signal: AbortSignal): Promise<string>;
}

/** A guest that is there answers at once. */
const ANSWER_MS = 5000;
const LOOK_MS = 100;
/** A page may be made only when it is asked for. */
const PAGE_MS = 10_000;

export function guestPorts(guest: RunningGuest, clock: Clock): GuestPorts {
  async function connections(signal: AbortSignal): Promise<readonly UserConnection[]> {
    const command = { 'command-line': 'info usernet' };
    return userConnectionsIn(await guest.link.call(QMP.human, command, signal));
  }
  async function forwarded(port: number, signal: AbortSignal): Promise<number> {
    const all = await connections(signal);
    const found = all.find(({ state, to }) => state === 'HOST_FORWARD' && to === port);
    if (found) return found.from;
    throw new SystemError('FAILED', `QEMU does not forward port ${port}`);
  }
  async function answered(at: number, signal: AbortSignal): Promise<boolean> {
    const all = await connections(signal);
    return all.some(({ state, from }) => state === 'ESTABLISHED' && from === at);
  }
  return {
    at: forwarded,
    async open(port, signal) {
      const at = await forwarded(port, signal);
      const stream = await connect({ kind: 'tcp', host: '127.0.0.1', port: at }, signal);
      const closed = new AbortController();
      stream.onClose = () => closed.abort();
      stream.start();
      try {
        const until = clock.monotonicMs() + ANSWER_MS;
        while (!closed.signal.aborted && clock.monotonicMs() < until) {
          if (await answered(at, signal)) return 'it accepts connections';
          await clock.sleep(LOOK_MS, signal);
        }
      } finally {
        stream.destroy();
      }
      const isRefused = closed.signal.aborted;
      const what = isRefused ? 'the guest refuses connections' : 'the guest does not answer';
      throw new SystemError('UNREACHABLE', what);
    },
    async get({ protocol, port, path }, signal) {
      const at = await forwarded(port, signal);
      const asked = { protocol, port: at, path, timeoutMs: PAGE_MS, signal };
      const status = await statusOfWeb(asked);
      if (status >= 200 && status < 400) return `status ${status}`;
      throw new SystemError('FAILED', `status ${status}`);
    },
  };
}
