import type { File } from './file-system.ts';

/**
 * Keeps a bounded number of files, or of objects made from files, open. The idle one that was used longest ago is
 * closed first.
 */
export interface OpenFiles<Key, It extends AsyncDisposable = File> extends AsyncDisposable {
  /** Opens it if necessary; it stays open while `work` runs. */
  use<T>(key: Key, work: (file: It) => Promise<T>): Promise<T>;
  /** The file if it is open now; valid for this tick only. */
  opened(key: Key): It | undefined;
  /** The keys of files that are open, or are being opened. */
  keys(): Iterable<Key>;
  /** Waits for its users, and closes it. */
  forget(key: Key): Promise<void>;
}

interface Handle<It> {
  readonly file: Promise<It>;
  /** Set once it is open. */
  opened?: It;
  users: number;
  /** Set if it was forgotten while in use: called once it is idle. */
  idle?: () => void;
}

export function openFiles<Key, It extends AsyncDisposable = File>(
  open: (key: Key) => Promise<It>,
  filesMax: number,
): OpenFiles<Key, It> {
  const handles = new Map<Key, Handle<It>>();

  /** Moves the key to the end: the first key is the one that was used longest ago. */
  function touch(key: Key, handle: Handle<It>): void {
    handles.delete(key);
    handles.set(key, handle);
  }
  async function shed(): Promise<void> {
    for (const [key, { users, file }] of handles) {
      if (handles.size <= filesMax) return;
      if (users > 0) continue;
      handles.delete(key);
      await (await file)[Symbol.asyncDispose]();
    }
  }
  return {
    opened(key) {
      const handle = handles.get(key);
      if (handle) touch(key, handle);
      return handle?.opened;
    },
    async use(key, work) {
      const handle: Handle<It> = handles.get(key) ?? { file: open(key), users: 0 };
      touch(key, handle);
      handle.users++;
      try {
        return await work((handle.opened ??= await handle.file));
      } catch (cause) {
        // The next use tries again to open it; another caller may have done so already.
        await handle.file.catch(() => {
          if (handles.get(key) === handle) handles.delete(key);
        });
        throw cause;
      } finally {
        handle.users--;
        if (handle.users === 0) handle.idle?.();
        if (handles.size > filesMax) await shed();
      }
    },
    keys: () => handles.keys(),
    async forget(key) {
      const handle = handles.get(key);
      if (!handle) return;
      handles.delete(key);
      if (handle.users > 0) await new Promise<void>((resolve) => (handle.idle = resolve));
      const file = await handle.file.catch(() => undefined);
      await file?.[Symbol.asyncDispose]();
    },
    async [Symbol.asyncDispose]() {
      const all = await Promise.allSettled([...handles.values()].map(({ file }) => file));
      handles.clear();
      for (const it of all) {
        if (it.status === 'fulfilled') await it.value[Symbol.asyncDispose]();
      }
    },
  };
}
