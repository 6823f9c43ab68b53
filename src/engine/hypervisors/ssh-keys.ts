import { join } from 'node:path/posix';
import { keyFingerprint } from '../../formats/store/service/hypervisor.ts';
import type { HypervisorUri } from '../../hypervisors/base/target.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { privateDirectory } from '../../sys/files/private-directory.ts';
import { type Finished, run } from '../../sys/process/run.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';

/* Keys of SSH: ours, one for each hypervisor, and those by which hypervisors are recognized. */

export interface HostKey {
  readonly type: string;
  /** In base64. */
  readonly key: string;
  readonly fingerprint: string;
}

/** Runs one of OpenSSH's programs; the caller judges its exit code. */
export type RunSsh = (
  name: 'ssh-keygen' | 'ssh-keyscan',
  args: readonly string[],
  signal: AbortSignal,
) => Promise<Finished>;

export const SSH_PORT = 22;
const TIMEOUT_MS = 30_000;
const SCAN_SECONDS = 10;
/** The first that a hypervisor has is preferred. */
const TYPES = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ssh-rsa'];
const KEY_LENGTH_MAX = 16 * 1024;

export const runSsh: RunSsh = async (name, args, signal) => {
  try {
    return await run(name, args, { timeoutMs: TIMEOUT_MS, signal });
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof SystemError) || cause.code !== 'NOT_FOUND') throw cause;
    throw new SystemError('FAILED', `${name} is not installed: apt-get install openssh-client`);
  }
};

/** The keys that a host shows, the preferred one first. Rejects UNREACHABLE. */
export async function scanHostKeys(
  runProgram: RunSsh,
  { host = '', port = SSH_PORT }: Pick<HypervisorUri, 'host' | 'port'>,
  signal: AbortSignal,
): Promise<readonly HostKey[]> {
  const args = [
    '-T',
    String(SCAN_SECONDS),
    '-p',
    String(port),
    '-t',
    'ed25519,ecdsa,rsa',
    '--',
    host,
  ];
  const { stdout, stderr } = await runProgram('ssh-keyscan', args, signal);
  const keys = stdout.split('\n').flatMap((line) => {
    const [, type = '', key = ''] = /^\S+ ([\w-]+) ([A-Za-z0-9+/]+=*)$/.exec(line) ?? [];
    return TYPES.includes(type) ? [{ type, key, fingerprint: keyFingerprint(key) }] : [];
  });
  if (keys.length > 0) {
    return keys.toSorted((a, b) => TYPES.indexOf(a.type) - TYPES.indexOf(b.type));
  }
  const why = stderr.split('\n').find((line) => line !== '' && !line.startsWith('#'));
  throw new SystemError(
    'UNREACHABLE',
    `no SSH server answers at ${host} port ${port}${why === undefined ? '' : `: ${why}`}`,
  );
}

/** A new private key. */
export async function makeKey(
  { files, runProgram }: { readonly files: FileSystem; readonly runProgram: RunSsh },
  comment: string,
  signal: AbortSignal,
): Promise<string> {
  await using directory = await privateDirectory();
  const path = join(directory.path, 'key');
  const args = ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path];
  await outputOf(runProgram, args, signal);
  return Buffer.from(await files.readFile(path, KEY_LENGTH_MAX)).toString('utf8');
}

/** The public key of a private one: `ssh-ed25519 AAAA...`, and the comment where it has one. */
export async function publicKey(
  runProgram: RunSsh,
  path: string,
  signal: AbortSignal,
): Promise<string> {
  return (await outputOf(runProgram, ['-y', '-P', '', '-f', path], signal)).trim();
}

async function outputOf(
  runProgram: RunSsh,
  args: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const { code, stdout, stderr } = await runProgram('ssh-keygen', args, signal);
  if (code === 0) return stdout;
  throw new SystemError('FAILED', `ssh-keygen: ${stderr.trim() || `exit code ${code}`}`);
}
