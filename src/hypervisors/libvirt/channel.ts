import { SystemError } from '../../sys/base/system-error.ts';
import { type ByteStream, connect } from '../../sys/net/network.ts';
import { ownAccount } from '../../sys/net/unix-peer.ts';
import {
  type ByteChannel,
  type ProgramStream,
  programStream,
} from '../../sys/net/program-stream.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { sshArguments, sshFailure } from '../base/ssh.ts';
import type { SshTarget, TlsTarget } from '../base/target.ts';
import type { LibvirtPlace } from './uri.ts';

/** The bytes between libvirt and us. */
export interface LibvirtChannel {
  readonly stream: ByteChannel;
  /** The address of the host, where that is known. */
  readonly peer: string | undefined;
  /** Why it ended, in words for people, once it has. */
  explain(error: Error | undefined): Promise<HypervisorError>;
}

/** In libvirt since 6.8 (October 2020): it passes its input and output to the socket of the daemon there. */
export const LIBVIRT_HELPER = 'virt-ssh-helper qemu:///system';

/** Rejects UNREACHABLE, DENIED, AUTH, IDENTITY. Through SSH only the first call says whether there is a host. */
export function openChannel(place: LibvirtPlace, signal: AbortSignal): Promise<LibvirtChannel> {
  if (place.kind === 'ssh') return throughSsh(place.ssh);
  return place.kind === 'tls' ? throughTls(place.tls, signal) : atSocket(place.sockets);
}

async function atSocket(sockets: readonly string[]): Promise<LibvirtChannel> {
  const failures: SystemError[] = [];
  for (const path of sockets) {
    try {
      return { stream: await connect({ kind: 'unix', path }), peer: undefined, explain };
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      failures.push(cause);
    }
  }
  const denied = failures.find(({ code }) => code === 'DENIED');
  const cause = denied ?? failures[0]!;
  const advice = denied
    ? `${memberOf(ownAccount())}, and start what runs as it again (the service: systemctl restart holdfastd)`
    : 'libvirtd does not run here: systemctl start libvirtd';
  const code = denied ? 'DENIED' : 'UNREACHABLE';
  throw new HypervisorError(code, `${cause.message}; ${advice}`, { cause });

  async function explain(error: Error | undefined): Promise<HypervisorError> {
    const words = error ? `: ${error.message}` : '';
    return new HypervisorError('UNREACHABLE', `libvirtd ended the connection${words}`, {
      cause: error,
    });
  }
}

/** What lets an account use libvirt's socket: on Debian and most others, a group. */
function memberOf(account: string): string {
  return `the group "libvirt" usually may: usermod -aG libvirt ${account}`;
}

async function throughSsh(ssh: SshTarget): Promise<LibvirtChannel> {
  const args = sshArguments(ssh, { command: LIBVIRT_HELPER });
  const stream = await started(args);
  return {
    stream,
    peer: undefined,
    async explain() {
      const end = await stream.ended;
      const failure = sshFailure(ssh, end);
      if (failure) return failure;
      const words = end.stderr.trim().slice(-2000);
      if (/^virt-ssh-helper: cannot connect to/m.test(words)) {
        const isDenied = words.includes('Permission denied');
        const advice = isDenied
          ? `${memberOf(ssh.account)}, as root there`
          : 'libvirtd does not run there: systemctl start libvirtd';
        const message = `libvirt on ${ssh.host} is not reached: ${words}; ${advice}`;
        return new HypervisorError(isDenied ? 'DENIED' : 'UNREACHABLE', message, { native: words });
      }
      if (end.code === NO_SUCH_PROGRAM) {
        const advice = 'libvirt 6.8 or later has it: apt-get install libvirt-daemon';
        const message = `${ssh.host} has no virt-ssh-helper; ${advice}`;
        return new HypervisorError('UNSUPPORTED', message, { native: words });
      }
      const message = `the connection to libvirt on ${ssh.host} ended${words && `: ${words}`}`;
      return new HypervisorError('UNREACHABLE', message, { native: words });
    },
  };
}

/** A shell's exit code for a program that is not there. */
const NO_SUCH_PROGRAM = 127;

async function started(args: readonly string[]): Promise<ProgramStream> {
  try {
    return await programStream('ssh', args);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    const advice = 'SSH is needed for other hosts: apt-get install openssh-client';
    throw new HypervisorError('UNSUPPORTED', `${cause.message}; ${advice}`, { cause });
  }
}

/*
 * libvirtd's own port for other hosts. Both sides show certificates; once libvirtd has accepted ours, it sends one byte
 * before anything else (libvirt.md, "A connection").
 */

const ACCEPTED = 1;
/** The time for each step of the beginning. */
const SILENCE_MS = 30_000;

/** Rejects IDENTITY, AUTH, UNREACHABLE, or with the signal's reason. */
async function throughTls(tls: TlsTarget, signal: AbortSignal): Promise<LibvirtChannel> {
  const { host, port, server } = tls;
  const stream = await connect({ kind: 'tcp', host, port }, signal).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw failure(tls, cause);
  });
  const leave = (): void => stream.destroy();
  signal.addEventListener('abort', leave, { once: true });
  try {
    stream.limitSilence(SILENCE_MS);
    // From now on, because the byte may have come when `secureTo` resolves.
    const accepting = accepted(stream, tls);
    accepting.catch(() => {});
    await stream.secureTo(server);
    const channel = await accepting;
    stream.limitSilence(undefined);
    return channel;
  } catch (cause) {
    stream.destroy();
    signal.throwIfAborted();
    throw failure(tls, cause);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

/** Resolves once libvirtd has accepted our certificate. */
async function accepted(stream: ByteStream, { host, port }: TlsTarget): Promise<LibvirtChannel> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let early: Uint8Array = new Uint8Array(0);
  let isOver = false;
  let why: Error | undefined;
  stream.onBytes = (bytes) => {
    const [first = 0] = bytes;
    early = Uint8Array.from(bytes.subarray(1));
    stream.pause();
    resolve(first);
  };
  stream.onClose = (error) => {
    isOver = true;
    why = error;
    reject(refused(host, error));
  };
  if ((await promise) !== ACCEPTED) throw refused(host, undefined);
  const channel: ByteChannel = {
    onBytes() {},
    onClose() {},
    start() {
      stream.onBytes = (bytes) => channel.onBytes(bytes);
      stream.onClose = (error) => channel.onClose(error);
      if (early.length > 0) channel.onBytes(early);
      if (isOver) channel.onClose(why);
      stream.resume();
    },
    ...oneByOne(stream),
    destroy: stream.destroy,
  };
  return {
    stream: channel,
    peer: stream.peer?.address,
    async explain(error) {
      const words = error ? `: ${error.message}` : '';
      const message = `libvirtd at ${host} port ${port} ended the connection${words}`;
      return new HypervisorError('UNREACHABLE', message, { cause: error });
    },
  };
}

/**
 * Each packet becomes a TLS record of its own. Of two in one record libvirtd (9.0) handles the first; the second, which
 * is decrypted by then, waits until anything else comes: our next call, or its own keepalive after five seconds.
 */
function oneByOne(stream: ByteStream): Pick<ByteChannel, 'write' | 'end'> {
  const waiting: { readonly bytes: Uint8Array; readonly sent: (() => void) | undefined }[] = [];
  let isEnding = false;
  function send(): void {
    const [first] = waiting;
    if (!first) {
      if (isEnding) stream.end();
      return;
    }
    stream.write(first.bytes, () => {
      waiting.shift();
      first.sent?.();
      send();
    });
  }
  return {
    write(bytes, sent) {
      if (waiting.push({ bytes, sent }) === 1) send();
    },
    end() {
      isEnding = true;
      if (waiting.length === 0) stream.end();
    },
  };
}

function refused(host: string, cause: Error | undefined): HypervisorError {
  const words = cause ? ` (${cause.message})` : '';
  return new HypervisorError(
    'AUTH',
    `libvirtd at ${host} does not accept our certificate${words}: see that the authority that it trusts ` +
      '(/etc/pki/CA/cacert.pem there) has signed it, that it is for clients and has not expired, and that ' +
      'tls_allowed_dn_list in /etc/libvirt/libvirtd.conf there, if it is set, has its name',
    { cause },
  );
}

function failure({ host, port }: TlsTarget, cause: unknown): unknown {
  if (!(cause instanceof SystemError)) return cause;
  const { code, message } = cause;
  if (code === 'DENIED') {
    return new HypervisorError('IDENTITY', `${host} is not trusted: ${message}`, { cause });
  }
  const advice =
    'it listens there once its unit libvirtd-tls.socket runs, and a firewall lets us through';
  const words = `libvirtd at ${host} port ${port} is not reached: ${message}; ${advice}`;
  return new HypervisorError('UNREACHABLE', words, { cause });
}
