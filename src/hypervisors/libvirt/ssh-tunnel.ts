import type { Clock } from '../../sys/base/clock.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { type ByteStream, connect } from '../../sys/net/network.ts';
import { type ProgramStream, programStream } from '../../sys/net/program-stream.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { sshArguments, sshFailure } from '../base/ssh.ts';
import type { SshTarget } from '../base/target.ts';

/* An `ssh` of its own that passes sockets of this host on to sockets of another one, or the other way round. */

export interface Tunnel extends AsyncDisposable {
  readonly stream: ProgramStream;
  readonly hasEnded: boolean;
  /** Why it ended, once it has. */
  failure(): Promise<HypervisorError>;
  /** Calls it, unless we end the tunnel, with why it ended. */
  onLost(call: (message: string) => void): void;
}

/** Throws UNSUPPORTED: these separate, quote, or begin variables in a forward (ssh_config(5), TOKENS). */
export function forwardOf(socket: string, to: string): string {
  const odd = [socket, to].find((it) => /[:\\$%"\s]/.test(it));
  if (odd === undefined) return `${socket}:${to}`;
  const advice = 'give a directory whose name has none of : \\ $ % " and no space';
  throw new HypervisorError(
    'UNSUPPORTED',
    `ssh cannot pass on a socket with the name ${odd}: ${advice}`,
  );
}

/** `forwards`: `-L` and `-R`, each with what `forwardOf` returns. */
export async function openTunnel(ssh: SshTarget, forwards: readonly string[]): Promise<Tunnel> {
  const options = ['-N', '-o', 'ExitOnForwardFailure=yes', ...forwards];
  const stream = await started(sshArguments(ssh, { options }));
  stream.start();
  let hasEnded = false;
  let isClosed = false;
  void stream.ended.then(() => (hasEnded = true));
  async function failure(): Promise<HypervisorError> {
    const end = await stream.ended;
    const known = sshFailure(ssh, end);
    if (known) return known;
    const words = end.stderr.trim().slice(-2000);
    const message = `the SSH connection to ${ssh.host} for the data of disks ended${words && `: ${words}`}`;
    return new HypervisorError('UNREACHABLE', message, { native: words });
  }
  return {
    ...{ stream, failure },
    get hasEnded() {
      return hasEnded;
    },
    onLost(call) {
      void failure().then(({ message }) => {
        if (!isClosed) call(`the way to the disks is lost: ${message}`);
      });
    },
    async [Symbol.asyncDispose]() {
      isClosed = true;
      stream.destroy();
      await stream.ended;
    },
  };
}

async function started(args: readonly string[]): Promise<ProgramStream> {
  try {
    return await programStream('ssh', args);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    throw new HypervisorError('FAILED', cause.message, { cause });
  }
}

interface Wanted {
  readonly ssh: SshTarget;
  /** The one of this host that ssh makes. */
  readonly socket: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** What it means that the other end does not answer. */
  readonly refused: (tunnel: Tunnel) => Promise<HypervisorError>;
}

/** For a slow host to let us in: ssh itself gives up a connection earlier. */
const START_MS = 60_000;
const POLL_MS = 20;

/** Resolves once an NBD server has answered through it. Rejects IDENTITY, AUTH, UNREACHABLE, DENIED. */
export async function ready(tunnel: Tunnel, wanted: Wanted): Promise<void> {
  const { ssh, socket, clock, signal } = wanted;
  for (let waited = 0; waited < START_MS; waited += POLL_MS) {
    signal.throwIfAborted();
    if (tunnel.hasEnded) throw await tunnel.failure();
    const stream = await connected(socket);
    if (stream) return answered(tunnel, stream, wanted);
    await clock.sleep(POLL_MS, signal);
  }
  const message = `SSH to ${ssh.host} was not ready for the data of disks within ${START_MS / 1000} s`;
  throw new HypervisorError('UNREACHABLE', message);
}

/** Undefined: ssh has not made it yet, which it does once the host has let us in. */
async function connected(path: string): Promise<ByteStream | undefined> {
  try {
    return await connect({ kind: 'unix', path });
  } catch (cause) {
    if (cause instanceof SystemError) return undefined;
    throw cause;
  }
}

const ANSWER_MS = 30_000;

/** An NBD server speaks first. ssh closes a connection that the other end has not accepted. */
async function answered(tunnel: Tunnel, stream: ByteStream, wanted: Wanted): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const leave = (): void => stream.destroy();
  wanted.signal.addEventListener('abort', leave, { once: true });
  stream.onBytes = () => resolve(true);
  stream.onClose = () => resolve(false);
  stream.limitSilence(ANSWER_MS);
  stream.start();
  const isAnswered = await promise;
  wanted.signal.removeEventListener('abort', leave);
  stream.destroy();
  if (isAnswered) return;
  wanted.signal.throwIfAborted();
  if (tunnel.hasEnded) throw await tunnel.failure();
  throw await wanted.refused(tunnel);
}
