import { join } from 'node:path/posix';
import { nbdUri } from '../../block/nbd-client/nbd-uri.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Store } from '../../store/directory/store.ts';
import { isSessionId, sessionDirectory } from './session-files.ts';

/** The URI of a session's disk for other processes of this machine, regardless of how guests reach it. */
export function sessionDiskUri(store: Store, session: SessionRecord, disk: string): string {
  return nbdUri({ kind: 'unix', path: localSocket(store, session) }, disk, false);
}

/** Uses the guests' own socket, if it is open to this machine. */
function localSocket(store: Store, { id, listen, tls }: SessionRecord): string {
  const [kind, ...rest] = listen.split(':');
  return kind === 'unix' && !tls ? rest.join(':') : innerSocket(store, id);
}

/** The socket of a session whose guests use the network. */
export function innerSocket(store: Store, id: string): string {
  return join(sessionDirectory(store, id), 'disks.sock');
}

/** A socket in a directory for all sessions. */
export function openSocket(directory: string, id: string): string {
  return join(directory, `${id}${ENDING}`);
}

export function isOpenSocket(name: string): boolean {
  return name.endsWith(ENDING) && isSessionId(name.slice(0, -ENDING.length));
}

const ENDING = '.sock';
