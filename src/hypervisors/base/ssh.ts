import { HypervisorError } from './hypervisor-error.ts';
import type { SshTarget } from './target.ts';

const CONNECT_SECONDS = 15;
/** Five probes without an answer: the host, or the way to it, is gone. */
const ALIVE_SECONDS = 10;
const ALIVE_COUNT = 5;

/**
 * What `ssh` is started with: nothing that a file of this user or of this host says, no key but ours, and no host but
 * the one whose key was pinned. `command` is constant text of the caller: a shell reads it there.
 */
export function sshArguments(
  { account, host, port, key, knownHosts, alias }: SshTarget,
  { options = [], command }: { readonly options?: readonly string[]; readonly command?: string },
): readonly string[] {
  const settings = [
    'BatchMode=yes',
    'StrictHostKeyChecking=yes',
    `HostKeyAlias=${alias}`,
    `UserKnownHostsFile=${fileName(knownHosts)}`,
    'GlobalKnownHostsFile=/dev/null',
    'UpdateHostKeys=no',
    'VerifyHostKeyDNS=no',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    `IdentityFile=${fileName(key)}`,
    'PreferredAuthentications=publickey',
    // Connections of its user's that are open are not used, nor is one left behind.
    ...['ControlMaster=no', 'ControlPath=none', 'ProxyCommand=none', 'PermitLocalCommand=no'],
    'ForwardAgent=no',
    'ForwardX11=no',
    `ConnectTimeout=${CONNECT_SECONDS}`,
    `ServerAliveInterval=${ALIVE_SECONDS}`,
    `ServerAliveCountMax=${ALIVE_COUNT}`,
  ];
  return [
    ...['-F', 'none', '-T', '-p', String(port), '-l', account],
    ...settings.flatMap((it) => ['-o', it]),
    ...options,
    ...['--', host],
    ...(command === undefined ? [] : [command]),
  ];
}

/** ssh_config(5), TOKENS: `%` begins a token, and `$` a variable, for which there is no other way to write it. */
function fileName(path: string): string {
  if (/["$\\\n]/.test(path)) {
    throw new HypervisorError('UNSUPPORTED', `ssh cannot use a file with the name ${path}`);
  }
  return `"${path.replaceAll('%', '%%')}"`;
}

/** ssh's own exit code, for all that is not the remote program's. */
const SSH_FAILED = 255;

/** Why `ssh` ended, which only its words say; undefined: the program there ended it, with that exit code. */
export function sshFailure(
  { host, account, alias }: SshTarget,
  { code, stderr }: { readonly code: number | undefined; readonly stderr: string },
): HypervisorError | undefined {
  if (code !== SSH_FAILED) return undefined;
  const words = stderr.trim();
  const native = words.slice(-2000);
  if (/Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED/.test(words)) {
    const message = `${host} shows another host key than the one that is noted for "${alias}"`;
    return new HypervisorError('IDENTITY', message, { native });
  }
  if (/Permission denied \(/.test(words)) {
    const message = `${host} does not accept our key for the account "${account}"`;
    return new HypervisorError('AUTH', message, { native });
  }
  const last = words.split('\n').at(-1)?.trim() || 'no reason was given';
  return new HypervisorError('UNREACHABLE', `SSH to ${host} failed: ${last}`, { native });
}
