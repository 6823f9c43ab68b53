import type { File } from './file-system.ts';

/**
 * Files, or what is made of some, kept open, a bounded number; the one that is idle and was used longest ago is closed
 * first.
 */
export interface OpenFiles<Key, It extends AsyncDisposable = File> extends AsyncDisposable {
  /** Opens it if need be; it stays open while `work` runs. */
  use<T>(key: Key, work: (file: It) => Promise<T>): Promise<T>;
  /** The file if it is open now: for this tick only. */
  opened(key: Key): It | undefined;
  /** Waits for those that use it, and closes it. */
  forget(key: Key): Promise<void>;
}

interface Handle<It> {
  readonly file: Promise<It>;
  /** Once it is open. */
  opened?: It;
  users: number;
  /** It was forgotten while it was in use: what to do once it is not. */
  idle?: () => void;
}

export function openFiles<Key, It extends AsyncDisposable = File>(
  open: (key: Key) => Promise<It>,
  filesMax: number,
): OpenFiles<Key, It> {
  const handles = new Map<Key, Handle<It>>();

  /** Moved to the end: the first key is the one that was used longest ago. */
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
        // One that could not be opened is asked for again next time; another may have done so already.
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
