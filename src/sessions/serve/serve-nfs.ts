import type { WritableBlockDevice } from '../../block/block-device.ts';
import type { Export } from '../../servers/connection/export.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { NfsPlace, SessionRecord } from '../../formats/store/sessions/session.ts';
import { type NfsPorts } from '../../servers/nfs/listening.ts';
import type { Store } from '../../store/directory/store.ts';
import { openSessionTree } from '../../vfs/session-tree.ts';
import { machineFiles } from '../guest/machine-files.ts';
import type { SessionMachine } from '../guest/session-machine.ts';
import { accessOf, type NfsServer } from './nfs-server.ts';
import { sessionDirectory } from '../state/session-files.ts';
import { treeSealOf } from '../state/session-overlays.ts';
import { sessionSpace } from '../state/session-space.ts';

/** A session's directory, served. Disposing flushes writes to its files. */
export interface ServedFiles extends AsyncDisposable {
  readonly host: string;
  readonly ports: NfsPorts;
  readonly export: Export;
}

/** All of it is lent. */
export interface NfsParts {
  readonly disks: ReadonlyMap<string, WritableBlockDevice>;
  readonly set: OpenSet;
  readonly machine: SessionMachine | undefined;
  readonly server: NfsServer;
}

export async function serveNfs(
  store: Store,
  session: SessionRecord,
  place: NfsPlace,
  { disks, set, machine, server }: NfsParts,
): Promise<ServedFiles> {
  const { files, clock, random } = store;
  await using stack = new AsyncDisposableStack();
  const directory = sessionDirectory(store, session.id);
  const space = sessionSpace(store, { whenFull: 'refuse' });
  const first = machineFiles(session, machine);
  const tree = stack.use(
    await openSessionTree({
      ...{ files, clock, random, directory, first, disks, space },
      seal: treeSealOf(session, set.keys),
    }),
  );
  // The directory is visible before its listeners open, so that clients find it.
  const shown = stack.use(server.show(session, accessOf(place), tree));
  if (place.points) stack.use(await server.showPoints(set, accessOf(place)));
  const { ports, host } = stack.use(await server.enter(place));
  const owned = stack.move();
  return { host, ports, export: shown, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
