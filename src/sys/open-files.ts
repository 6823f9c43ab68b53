import type { File } from './file-system.ts';

/** Files kept open, a bounded number; the one used longest ago and by nobody now is closed first. */
export interface OpenFiles<Key> extends AsyncDisposable {
  /** Opens it if need be; it stays open while `work` runs. */
  use<T>(key: Key, work: (file: File) => Promise<T>): Promise<T>;
  /** The file if it is open now: for this tick only. */
  opened(key: Key): File | undefined;
  /** Closes it once nobody uses it. Resolves when it is neither being opened nor, unless it is in use, open. */
  forget(key: Key): Promise<void>;
}

interface Handle {
  readonly file: Promise<File>;
  /** Once it is open. */
  opened?: File;
  users: number;
}

export function openFiles<Key>(
  open: (key: Key) => Promise<File>,
  filesMax: number,
): OpenFiles<Key> {
  const handles = new Map<Key, Handle>();
  /** Forgotten while somebody used them. */
  const leaving = new Set<Handle>();

  /** Moved to the end: the first key is the one that was used longest ago. */
  function touch(key: Key, handle: Handle): void {
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
      const handle: Handle = handles.get(key) ?? { file: open(key), users: 0 };
      touch(key, handle);
      handle.users++;
      try {
        return await work((handle.opened ??= await handle.file));
      } catch (cause) {
        // One that could not be opened is asked for anew next time.
        await handle.file.catch(() => handles.delete(key));
        throw cause;
      } finally {
        handle.users--;
        if (leaving.has(handle) && handle.users === 0) {
          leaving.delete(handle);
          await handle.opened?.[Symbol.asyncDispose]();
        } else if (handles.size > filesMax) await shed();
      }
    },
    async forget(key) {
      const handle = handles.get(key);
      if (!handle) return;
      handles.delete(key);
      if (handle.users === 0) return (await handle.file)[Symbol.asyncDispose]();
      leaving.add(handle);
      await handle.file.catch(() => {});
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
