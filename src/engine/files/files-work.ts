import { join } from 'node:path/posix';
import { type Entry, listDirectory } from '../../file-restore/browse/browse.ts';
import { copyOut } from '../../file-restore/browse/copy-out.ts';
import { readPart } from '../../file-restore/browse/read-part.ts';
import { GranularError } from '../../file-restore/base/file-restore-error.ts';
import { makeDirectories } from '../../file-restore/mounting/opened-volumes.ts';
import type { FilesOperationName, RequestOf } from '../../operations/operations.ts';
import { noSecrets, openEngine } from '../base/engine.ts';
import { ENTRIES_MAX, type Listing, openListings } from './listing-cache.ts';
import { closeFiles, openedFiles, openFiles, type RunningFiles } from './open-files.ts';
import type { CallOptions, Handlers } from '../base/call.ts';

/*
 * Volumes that people browse and copy files from, for as long as they like: in a small service with root's rights, or
 * in holdfastd itself if root runs it.
 */
export interface OpenedVolumes extends AsyncDisposable {
  /** `given` is the key of the recovery point's set. */
  readonly handlers: Handlers<FilesOperationName>;
  /** The number of open restores. */
  readonly openCount: number;
}

export interface FilesPlaces {
  /** The store's directory. */
  readonly store: string;
  /** The directory for restored files. */
  readonly restores: string;
}

/** Opens volumes, and lists their directories. */
export interface FilesTools {
  readonly open: typeof opened;
  readonly list: typeof listed;
}

/** Each has programs of its own, and a small VM for file systems that the kernel cannot read. */
const OPEN_MAX = 16;

/** `places` is called for each restore, because settings change. */
export function openVolumes(
  places: () => Promise<FilesPlaces>,
  tools: FilesTools = { open: opened, list: listed },
): OpenedVolumes {
  const restores = new Map<string, RunningFiles>();
  let opening = 0;
  const listings = openListings((id) => restores.has(id));

  function found(id: string): RunningFiles {
    const restore = restores.get(id);
    if (restore) return restore;
    throw new GranularError('NOT_FOUND', `there is no open restore ${id}: see "files opened"`);
  }
  async function close(id: string): Promise<void> {
    const restore = found(id);
    restores.delete(id);
    listings.drop(id);
    await restore[Symbol.asyncDispose]();
  }
  const handlers: Handlers<FilesOperationName> = {
    async 'files/open'(request, options) {
      if (restores.size + opening >= OPEN_MAX) {
        throw new GranularError(
          'FAILED',
          `volumes of ${OPEN_MAX} are open, or being opened: close some, see "files opened"`,
        );
      }
      opening++;
      try {
        const files = await tools.open((await places()).store, request, options);
        const { id } = files.opened;
        restores.set(id, files);
        // Its disks can no longer be read: it is over.
        files.ended.catch(() => close(id)).catch(() => {});
        return files.opened;
      } finally {
        opening--;
      }
    },
    'files/opened': async () => {
      const all = await openedFiles();
      const volumesOf = (id: string) => restores.get(id)?.opened.volumes ?? [];
      return { opened: all.map((it) => ({ ...it, volumes: volumesOf(it.id) })) };
    },
    async 'files/close'({ id }) {
      const own = [...restores.keys()].filter((it) => id === undefined || it === id);
      for (const it of own) await close(it);
      if (id !== undefined && own.length > 0) return { closed: own };
      return { closed: [...own, ...(await closeFiles(id))] };
    },
    async 'files/browse'({ id, volume, path, first, count }, { signal }) {
      rootOf(found(id), volume);
      // A request for the first page wants the current contents.
      const isNew = first === 0;
      const { entries, refused } = await listings.get({ id, volume, path }, isNew, async () => {
        signal.throwIfAborted();
        return tools.list(rootOf(found(id), volume), path, signal);
      });
      const page = entries.slice(first, first + count);
      return { total: entries.length, first, entries: page.map(summaryOf), refused };
    },
    async 'files/read'({ id, volume, path, first, length }, { signal }) {
      const root = rootOf(found(id), volume);
      const { entry, bytes } = await readPart(root, path, { offset: first, length, signal });
      const { size, mode, uid, gid } = entry;
      return { size, mode, uid, gid, base64: Buffer.from(bytes).toString('base64') };
    },
    async 'files/copy'({ id, volume, paths, to, overwrite }, { signal, report }) {
      const root = rootOf(found(id), volume);
      const directory = join((await places()).restores, to);
      await makeDirectories([directory], signal);
      const progress = (position: number, total: number): void =>
        report({ event: 'progress', phase: 'copy', position, total });
      const done = await copyOut(root, paths, `${directory}/`, {
        ...{ signal, dropSetId: true, overwrite },
        onProgress: ({ position, total }) => progress(position, Math.max(total, position + 1)),
      });
      progress(1, 1);
      return { volume, to: done.to, lost: done.lost };
    },
  };
  return {
    get openCount() {
      return restores.size;
    },
    handlers,
    async [Symbol.asyncDispose]() {
      for (const id of restores.keys()) await close(id);
    },
  };
}

/**
 * The request can be canceled until the volumes are open; after that, a client that disconnects does not close them.
 */
async function opened(
  store: string,
  { what, disk, isolated }: RequestOf<'files/open'>,
  { given, signal, report }: CallOptions,
): Promise<RunningFiles> {
  const opening = new AbortController();
  const abort = (): void => opening.abort(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener('abort', abort);
  await using engine = await openEngine(store);
  try {
    return await openFiles(
      engine,
      { ...{ what, disk, isolated, at: undefined }, keys: async () => undefined },
      {
        secrets: given ? async () => given : noSecrets,
        signal: opening.signal,
        report,
      },
    );
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function rootOf({ roots, opened }: RunningFiles, volume: string): string {
  const root = roots.get(volume);
  if (root !== undefined) return root;
  const closed = opened.volumes.find((it) => it.volume === volume)?.closed;
  throw closed === undefined || closed === null
    ? new GranularError(
        'NOT_FOUND',
        `there is no volume ${volume}, but ${[...roots.keys()].join(', ')}`,
      )
    : new GranularError('UNSUPPORTED', `${volume} is not open: ${closed}`);
}

async function listed(root: string, path: string, signal: AbortSignal): Promise<Listing> {
  const entries: Entry[] = [];
  let refused: string | null = null;
  try {
    for await (const entry of listDirectory(root, path, { signal })) {
      if (entries.push(entry) < ENTRIES_MAX) continue;
      refused = `there is more: these are the first ${ENTRIES_MAX}`;
      break;
    }
  } catch (cause) {
    if (!(cause instanceof GranularError) || entries.length === 0) throw cause;
    refused = cause.message;
  }
  const rank = ({ kind }: Entry): number => (kind === 'directory' ? 0 : 1);
  entries.sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1));
  return { entries, refused };
}

function summaryOf({ modified, target, ...entry }: Entry) {
  return { ...entry, modified: new Date(modified).toISOString(), target: target ?? null };
}
