import type { QemuVersion } from '../../formats/wire/qmp.ts';
import { asError } from '../../lib/as-error.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { type ByteStream, connect } from '../../sys/net/network.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { isSilence, type LineOptions, linesOver, type QmpCommand } from './lines.ts';

/**
 * A connection to the monitor of one machine. QEMU has one at a time, and all other programs wait for its end: it is
 * kept only as long as commands follow each other. Disposing ends it; what was begun through it goes on.
 */
export interface QmpLink extends AsyncDisposable {
  readonly version: QemuVersion;
  /** The process that listens; undefined: the kernel does not say. */
  readonly pid: number | undefined;
  /** See `Lines`. */
  call<R>(command: QmpCommand<R>, args?: object, signal?: AbortSignal): Promise<R>;
}

export interface QmpLinkOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called with the name of each event of the machine, as long as the link is open. */
  readonly onEvent?: (name: string) => void;
}

/** Longer than a backup of ours keeps another one waiting, unless its guest takes long to freeze. */
const GREETING_MS = 10_000;
/** How soon a socket whose queue is full is tried again. */
const AGAIN_MS = 100;
/** A transaction waits until requests of the guest under way have ended. */
const ANSWER_MS = 60_000;

const ACCEPT: QmpCommand<unknown> = { name: 'qmp_capabilities', read: (answer) => answer };

/** Rejects UNREACHABLE if no QEMU listens there, BUSY if another program speaks with it, DENIED, FAILED. */
export async function openQmpLink(
  path: string,
  { clock, signal, onEvent }: QmpLinkOptions,
): Promise<QmpLink> {
  const until = clock.monotonicMs() + GREETING_MS;
  const stream = await connected(path, { clock, signal, until });
  const lines = linesOver(stream, clock, { who: 'QEMU', hasIds: true, onEvent });
  let version: QemuVersion | undefined;
  try {
    await lines.wait(
      'a greeting',
      (message) => {
        if (message.kind !== 'greeting') return false;
        ({ version } = message);
        return true;
      },
      { timeoutMs: Math.max(AGAIN_MS, until - clock.monotonicMs()), signal },
    );
    await lines.call(ACCEPT, undefined, { timeoutMs: ANSWER_MS, signal });
  } catch (cause) {
    await lines.close();
    signal.throwIfAborted();
    if (version || !isSilence(cause)) throw cause;
    throw busy(path, cause);
  }
  return {
    version: version!,
    pid: stream.process?.pid,
    call(command, args, until) {
      const options: LineOptions = { timeoutMs: ANSWER_MS, signal: until };
      return lines.call(command, args, options);
    },
    [Symbol.asyncDispose]: () => lines.close(),
  };
}

interface Connecting extends QmpLinkOptions {
  readonly until: number;
}

async function connected(path: string, { clock, signal, until }: Connecting): Promise<ByteStream> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await connect({ kind: 'unix', path }, signal, { isPeerWanted: true });
    } catch (cause) {
      signal.throwIfAborted();
      if (!(cause instanceof SystemError)) throw cause;
      if (cause.code !== 'BUSY') throw unreachable(path, cause);
      if (clock.monotonicMs() >= until) throw busy(path, cause);
    }
    await clock.sleep(AGAIN_MS, signal);
  }
}

function unreachable(path: string, cause: SystemError): HypervisorError {
  if (cause.code === 'DENIED') {
    const advice =
      'give its group the right to write to the socket (the machine is started with "umask 007", in a directory that ' +
      'belongs to that group and has the mode 2770), or run Holdfast as its user';
    return new HypervisorError('DENIED', `${path}: permission denied; ${advice}`, { cause });
  }
  const what = `no QEMU listens at ${path}: the machine is off`;
  return new HypervisorError('UNREACHABLE', `${what}. Start it to back it up`, { cause });
}

function busy(path: string, cause: unknown): HypervisorError {
  return new HypervisorError(
    'BUSY',
    `QEMU gives no greeting at ${path}: another program is connected to it, which keeps all others waiting, or QEMU ` +
      'hangs. End that connection, or give the machine a second "-qmp" socket for Holdfast',
    { cause: asError(cause) },
  );
}
