import { join } from 'node:path/posix';
import type { Clock } from '../../sys/base/clock.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { privateDirectory } from '../../sys/files/private-directory.ts';
import { type ByteStream, connect } from '../../sys/net/network.ts';
import { type ProgramStream, programStream } from '../../sys/net/program-stream.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { sshArguments, sshFailure } from '../base/ssh.ts';
import type { SshTarget } from '../base/target.ts';
import { atSocket, type DataWay, socketsIn, type WayOptions } from './data-way.ts';

/*
 * The way to disks of machines on another host: an `ssh` of its own for each backup, which passes a socket in a private
 * directory of this host on to QEMU's socket there (ssh(1), -L). No port is open, on neither host. The directory there
 * belongs to QEMU, with the group of the account that we are: what is made in it gets that group.
 */

export function sshWay(ssh: SshTarget, directory: string, clock: Clock): DataWay {
  return {
    ...socketsIn(() => directory),
    async open(remote, options) {
      await using stack = new AsyncDisposableStack();
      const here = stack.use(await privateDirectory());
      const socket = join(here.path, 'disks.sock');
      const tunnel = stack.use(await openTunnel(ssh, forwardOf(socket, remote)));
      await ready(tunnel, { ssh, socket, remote, clock, signal: options.signal });
      tunnel.onLost(options.onNotice);
      const owned = stack.move();
      return { ...atSocket(socket), [Symbol.asyncDispose]: () => owned.disposeAsync() };
    },
  };
}

/** Throws UNSUPPORTED: these separate, quote, or begin variables in a forward (ssh_config(5), TOKENS). */
function forwardOf(socket: string, remote: string): string {
  const odd = [socket, remote].find((it) => /[:\\$%"\s]/.test(it));
  if (odd === undefined) return `${socket}:${remote}`;
  const advice = 'give a directory whose name has none of : \\ $ % " and no space';
  throw new HypervisorError(
    'UNSUPPORTED',
    `ssh cannot pass on a socket with the name ${odd}: ${advice}`,
  );
}

interface Tunnel extends AsyncDisposable {
  readonly stream: ProgramStream;
  readonly hasEnded: boolean;
  /** Why it ended, once it has. */
  failure(): Promise<HypervisorError>;
  /** Calls it, unless we end the tunnel, with why it ended. */
  onLost(call: (message: string) => void): void;
}

async function openTunnel(ssh: SshTarget, forward: string): Promise<Tunnel> {
  const options = ['-N', '-o', 'ExitOnForwardFailure=yes', '-L', forward];
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

interface Wanted extends Pick<WayOptions, 'signal'> {
  readonly ssh: SshTarget;
  readonly socket: string;
  readonly remote: string;
  readonly clock: Clock;
}

/** For a slow host to let us in: ssh itself gives up a connection earlier. */
const START_MS = 60_000;
const POLL_MS = 20;

/** Resolves once QEMU has answered through it. Rejects IDENTITY, AUTH, UNREACHABLE, DENIED. */
async function ready(tunnel: Tunnel, wanted: Wanted): Promise<void> {
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
  throw await refused(tunnel, wanted);
}

/** sshd gives the same answer whatever its reason is: only its log tells more. */
async function refused(tunnel: Tunnel, { ssh, remote }: Wanted): Promise<HypervisorError> {
  tunnel.stream.destroy();
  const { stderr } = await tunnel.stream.ended;
  return new HypervisorError(
    'DENIED',
    `${ssh.host} does not let the account "${ssh.account}" reach QEMU's socket ${remote}. On the hypervisor, see ` +
      `that the account may enter the directory and open what QEMU makes there, that neither AllowTcpForwarding nor ` +
      'AllowStreamLocalForwarding is "no" (sshd -T), and that the line of its authorized_keys is the one that ' +
      '"holdfast hypervisor show" prints; "journalctl -u ssh" there has the reason',
    { native: stderr.trim().slice(-2000) },
  );
}
