import type { WritableBlockDevice } from '../block/block-device.ts';
import { spaceGuard } from '../block/space-guard.ts';
import { keyedHash } from '../formats/store/digest.ts';
import type { NfsPlace, SessionRecord } from '../formats/store/session.ts';
import { utf8 } from '../lib/bytes.ts';
import { parseNetworks } from '../sys/networks.ts';
import { type NfsPorts, openNfsTarget } from '../targets/nfs/target.ts';
import { openSessionTree } from '../tree/session-tree.ts';
import { machineFiles } from './machine-files.ts';
import { sessionDirectory } from './session-files.ts';
import { type SessionHouse, SPACE_RESERVE } from './session-steps.ts';

/** A session's directory, served. Disposing flushes what was written to its files. */
export interface ServedFiles extends AsyncDisposable {
  readonly host: string;
  readonly ports: NfsPorts;
}

/** The disks are lent. */
export async function serveNfs(
  { world, store }: SessionHouse,
  session: SessionRecord,
  place: NfsPlace,
  disks: ReadonlyMap<string, WritableBlockDevice>,
): Promise<ServedFiles> {
  const { files, clock, random } = world;
  await using stack = new AsyncDisposableStack();
  const directory = sessionDirectory(store, session.id);
  const space = spaceGuard({
    ...{ files, clock, directory, reserve: SPACE_RESERVE, whenFull: 'refuse' },
    onPause() {},
  });
  const first = machineFiles(session);
  const tree = stack.use(await openSessionTree({ files, clock, directory, first, disks, space }));
  const { host, ports, allow, ...rules } = place;
  const target = stack.use(await openNfsTarget({ clock, random, host, ports }));
  stack.use(
    target.export(session.id, tree, {
      access: { ...rules, allow: parseNetworks(allow) },
      ...identityOf(session),
    }),
  );
  const owned = stack.move();
  return {
    host,
    ports: target.ports,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The same after every restart, and another one for every session: file ids and handles are made of it. */
function identityOf({ id, created }: SessionRecord): { tag: number; generation: number } {
  const digest = keyedHash(new Uint8Array(0), utf8(`${id} ${created}`));
  const view = new DataView(digest.buffer, digest.byteOffset, digest.length);
  // Zero is the export's own; and some clients take file ids for signed numbers.
  return { tag: view.getUint32(0) >>> 1 || 1, generation: view.getUint32(4) };
}
