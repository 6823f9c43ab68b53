import { SystemError } from '../../sys/base/system-error.ts';
import { connect } from '../../sys/net/network.ts';
import { ownAccount } from '../../sys/net/unix-peer.ts';
import {
  type ByteChannel,
  type ProgramStream,
  programStream,
} from '../../sys/net/program-stream.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { sshArguments, sshFailure } from '../base/ssh.ts';
import type { SshTarget } from '../base/target.ts';
import type { LibvirtPlace } from './uri.ts';

/** The bytes between libvirt and us. */
export interface LibvirtChannel {
  readonly stream: ByteChannel;
  /** Why it ended, in words for people, once it has. */
  explain(error: Error | undefined): Promise<HypervisorError>;
}

/** In libvirt since 6.8 (October 2020): it passes its input and output to the socket of the daemon there. */
export const LIBVIRT_HELPER = 'virt-ssh-helper qemu:///system';

/** Rejects UNREACHABLE, DENIED. Through SSH the first call says whether there is a host at the other end. */
export function openChannel(place: LibvirtPlace): Promise<LibvirtChannel> {
  return place.kind === 'ssh' ? throughSsh(place.ssh) : atSocket(place.sockets);
}

async function atSocket(sockets: readonly string[]): Promise<LibvirtChannel> {
  const failures: SystemError[] = [];
  for (const path of sockets) {
    try {
      return { stream: await connect({ kind: 'unix', path }), explain };
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
