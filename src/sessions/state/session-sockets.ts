import { join } from 'node:path/posix';
import { nbdUri } from '../../block/nbd-client/nbd-uri.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Store } from '../../store/directory/store.ts';
import { isSessionId, sessionDirectory } from './session-files.ts';

/** Where another process of this machine finds a session's disk, however its guests find it. */
export function sessionDiskUri(store: Store, session: SessionRecord, disk: string): string {
  return nbdUri({ kind: 'unix', path: localSocket(store, session) }, disk, false);
}

/** Guests' own socket will do, where they have one that is open to this machine. */
function localSocket(store: Store, { id, listen, tls }: SessionRecord): string {
  const [kind, ...rest] = listen.split(':');
  return kind === 'unix' && !tls ? rest.join(':') : innerSocket(store, id);
}

/** Of a session whose guests come over the network. */
export function innerSocket(store: Store, id: string): string {
  return join(sessionDirectory(store, id), 'disks.sock');
}

/** In a directory of sockets of all sessions. */
export function openSocket(directory: string, id: string): string {
  return join(directory, `${id}${ENDING}`);
}

export function isOpenSocket(name: string): boolean {
  return name.endsWith(ENDING) && isSessionId(name.slice(0, -ENDING.length));
}

const ENDING = '.sock';
