import type { World } from '../sys/world.ts';
import { type BoxOptions, openBoxFiles } from './box-files.ts';
import { memoryOf, type StoreMemory, type StorePlace } from './store-memory.ts';

/*
 * What this machine, or this user, knows about stores without asking them: an attacker with write access to a store
 * can write any orders (sessions, jobs, schedules) and descriptions of sets.
 */
export interface Box {
  readonly directory: string;
  of(store: StorePlace): StoreMemory;
  /** Creates the directory if it is missing. Rejects if that fails. */
  prepare(): Promise<void>;
  /** Whether there is no memory yet, not even an empty one. */
  isNew(): Promise<boolean>;
  /** From now on the box is not new, and adopts nothing automatically. Rejects if that cannot be recorded. */
  begin(): Promise<void>;
  /** Why the memory cannot be used; undefined: it can. */
  problem(): Promise<string | undefined>;
  /** Forgets everything, including the key: every store must be adopted again. */
  reset(): Promise<void>;
}

export function openBox(world: World, options: BoxOptions): Box {
  const files = openBoxFiles(world, options);
  return {
    directory: options.directory,
    of: (store) => memoryOf(files, store),
    prepare: files.prepare,
    isNew: async () => (await files.load()).kind === 'none',
    async begin() {
      const { kind } = await files.load();
      if (kind === 'none')
        await files.change(async ({ memory }) => ({ memory, answer: undefined }));
    },
    async problem() {
      const loaded = await files.load();
      return loaded.kind === 'damaged' ? loaded.reason : undefined;
    },
    reset: files.beginAgain,
  };
}
