import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path/posix';
import { systemError } from '../base/system-error.ts';

/** The directory that systemd makes for the service (RuntimeDirectory=). */
export const SERVICE_SOCKETS = '/run/holdfast-nbd';
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
    if (mkdirSync(SERVICE_SOCKETS, { recursive: true }) !== undefined)
      chmodSync(SERVICE_SOCKETS, MODE);
  } catch (cause) {
    throw systemError(cause, `create ${SERVICE_SOCKETS}`);
  }
  return SERVICE_SOCKETS;
}

export interface BootSockets {
  /** The directory that the user of QEMU may enter. */
  readonly own: string;
  /** Not in the other one, where the user of QEMU could replace it. */
  readonly ports: string;
  /** In that one: what a script's sandbox shows. */
  readonly guest: string;
}

/** Directories of a boot that proves a point. What makes the sandbox is another process, which is given only the ID. */
export function bootSockets(id: string, directory = SERVICE_SOCKETS): BootSockets {
  const own = join(directory, `verify-${id}`);
  const ports = `${own}.ports`;
  return { own, ports, guest: join(ports, 'guest') };
}
