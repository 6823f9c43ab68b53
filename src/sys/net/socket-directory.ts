import { chmodSync, mkdirSync } from 'node:fs';
import { systemError } from '../base/system-error.ts';

/** The directory that systemd makes for the service (RuntimeDirectory=). */
const OF_ROOT = '/run/holdfast-nbd';
/** All users may enter: the servers of the sockets in it check which user connects. */
const MODE = 0o755;

/**
 * The directory for sockets that other users of this machine must reach, such as the one that runs QEMU. Undefined:
 * this process has no such directory.
 */
export function socketDirectory(): string | undefined {
  const given = process.env['RUNTIME_DIRECTORY']?.split(':')[0];
  if (given) return given;
  if (process.getuid?.() !== 0) return undefined;
  try {
    // The umask of this process may hide it from others.
    if (mkdirSync(OF_ROOT, { recursive: true }) !== undefined) chmodSync(OF_ROOT, MODE);
  } catch (cause) {
    throw systemError(cause, `create ${OF_ROOT}`);
  }
  return OF_ROOT;
}
