import type { WritableBlockDevice } from '../block/block-device.ts';
import { spaceGuard } from '../block/space-guard.ts';
import { keyedHash } from '../formats/store/digest.ts';
import type { NfsPlace, SessionRecord } from '../formats/store/session.ts';
import { utf8 } from '../lib/bytes.ts';
import { parseNetworks } from '../sys/networks.ts';
import { type NfsPorts, openNfsTarget } from '../targets/nfs/target.ts';
import type { Export } from '../targets/export.ts';
import { openSessionTree } from '../tree/session-tree.ts';
import type { OpenSet } from '../catalog/sets.ts';
import type { BlockReader } from '../store/block-reader.ts';
import { storeListing } from './store-listing.ts';
import { storeTree } from './store-tree.ts';
import { machineFiles } from './machine-files.ts';
import { sessionDirectory } from './session-files.ts';
import { type SessionHouse, SPACE_RESERVE } from './session-steps.ts';

/** A session's directory, served. Disposing flushes what was written to its files. */
export interface ServedFiles extends AsyncDisposable {
  readonly host: string;
  readonly ports: NfsPorts;
  readonly export: Export;
}

/** All of it is lent. */
export interface NfsParts {
  readonly disks: ReadonlyMap<string, WritableBlockDevice>;
  readonly set: OpenSet;
  readonly reader: BlockReader;
}

export async function serveNfs(
  { world, store }: SessionHouse,
  session: SessionRecord,
  place: NfsPlace,
  { disks, set, reader }: NfsParts,
): Promise<ServedFiles> {
  const { files, clock, random } = world;
  await using stack = new AsyncDisposableStack();
  const directory = sessionDirectory(store, session.id);
  const space = spaceGuard({
    ...{ files, clock, directory, reserve: SPACE_RESERVE, whenFull: 'refuse' },
  });
  const first = machineFiles(session);
  const tree = stack.use(await openSessionTree({ files, clock, directory, first, disks, space }));
  const { host, ports, allow, points, ...rules } = place;
  const access = { ...rules, allow: parseNetworks(allow) };
  const target = stack.use(await openNfsTarget({ clock, random, host, ports }));
  const exported = stack.use(
    target.export(session.id, tree, { access, ...identityOf(`${session.id} ${session.created}`) }),
  );
  if (points) {
    const listing = storeListing(
      { world, store },
      { sets: [set], reader, setsPath: '', sessionsPath: undefined, partsOf: undefined },
    );
    const shelf = stack.use(await storeTree(world, store.directory, listing));
    const rules = { access: { ...access, readOnly: true }, ...identityOf(POINTS) };
    stack.use(target.export(POINTS, shelf, rules));
  }
  const owned = stack.move();
  return {
    host,
    ports: target.ports,
    export: exported,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** No session is called so: their names end in six digits. */
const POINTS = 'points';

/** The same after every restart, and another one for everything else: file ids and handles are made of it. */
function identityOf(name: string): { tag: number; generation: number } {
  const digest = keyedHash(new Uint8Array(0), utf8(name));
  const view = new DataView(digest.buffer, digest.byteOffset, digest.length);
  // Zero is the export's own; and some clients take file ids for signed numbers.
  return { tag: view.getUint32(0) >>> 1 || 1, generation: view.getUint32(4) };
}
