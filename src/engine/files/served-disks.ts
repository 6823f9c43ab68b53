import { resolve } from 'node:path/posix';
import { holdPoint } from '../../catalog/point-lease.ts';
import { findPoint } from '../../catalog/points.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { DiskFiles } from '../../file-restore/volumes/disk-files.ts';
import { diskFilesOfPoint, diskFilesOfSession } from '../../sessions/views/disk-files.ts';
import { mountStore, type StoreMount } from '../../sessions/views/mount.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { type SessionStatus, sessionStatus } from '../../sessions/state/listed-sessions.ts';
import {
  type GivenSecret,
  type Engine,
  openPoint,
  readKnownSet,
  type SecretSource,
} from '../base/engine.ts';

/** The disks of a recovery point, or of a running session, as files until disposed. */
export interface ServedDisks extends AsyncDisposable {
  /** The ID that the query meant. */
  readonly id: string;
  readonly machine: string;
  readonly disks: readonly DiskFiles[];
  /** Rejects when they can no longer be served. */
  readonly ended: Promise<void>;
}

export interface ServeDisksOptions {
  /** The mount point: absolute and empty. */
  readonly directory: string;
  readonly secrets: SecretSource;
  readonly onNotice: (message: string) => void;
}

/** `query` is a recovery point as for `recover`, or the ID of a running session. */
export async function serveDisks(
  engine: Engine,
  query: string,
  { directory, secrets, onNotice }: ServeDisksOptions,
): Promise<ServedDisks> {
  const { store } = engine;
  const mount = (only: string, sets: readonly OpenSet[], held?: PointRecord) =>
    mountStore({
      ...{ clock: store.clock, store: resolve(store.directory), directory, sets, only, held },
      onRestart: (how) => onNotice(`the serving process ended (${how}): another one continues`),
    });
  const session = await sessionNamed(engine, query);
  if (session) {
    const { record, holder } = session;
    // Its server has the key, but this is also where the passkey of its set is asked for.
    await secrets(record.set, 'if given');
    if (holder === undefined) {
      throw new SessionError(
        'IMPOSSIBLE',
        `session ${query} is not running: resume it with "recover --resume ${query}"`,
      );
    }
    const mounted = await mount(query, []);
    return served(mounted, record, diskFilesOfSession(directory, record));
  }
  const { set, point } = await openPoint(engine, query, secrets);
  await using stack = new AsyncDisposableStack();
  // Held here and not by the process that serves the mount: that one may be followed by another.
  stack.use(await holdPoint(store, set, point, `files open ${point.id}`));
  const mounted = stack.use(await mount(point.id, [set], point));
  const owned = stack.move();
  return {
    ...served(mounted, point, diskFilesOfPoint(directory, point)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The key that `serveDisks` will need; undefined: none, or a session, whose server has it. */
export async function keyOfDisks(
  engine: Engine,
  query: string,
  secrets: SecretSource,
): Promise<GivenSecret | undefined> {
  const { store } = engine;
  const session = await sessionNamed(engine, query);
  if (session) {
    await secrets(session.record.set, 'if given');
    return undefined;
  }
  const { set } = await findPoint(store, query);
  const { slots } = await readKnownSet(engine, set);
  return secrets(set, slots.length > 0 ? 'needed' : 'if given');
}

/** Undefined: not the ID of a session, so a recovery point is meant. */
async function sessionNamed({ store }: Engine, id: string): Promise<SessionStatus | undefined> {
  try {
    return await sessionStatus(store, id);
  } catch (cause) {
    if (cause instanceof SessionError && cause.code === 'NOT_FOUND') return undefined;
    throw cause;
  }
}

function served(
  mounted: StoreMount,
  { id, machine }: { readonly id: string; readonly machine: string },
  disks: readonly DiskFiles[],
): ServedDisks {
  return {
    ...{ id, machine, disks, ended: mounted.ended },
    [Symbol.asyncDispose]: () => mounted[Symbol.asyncDispose](),
  };
}
