import type { World } from '../sys/world.ts';
import { type BoxOptions, openBoxFiles } from './box-files.ts';
import { memoryOf, type StoreMemory, type StorePlace } from './store-memory.ts';

/*
 * What this machine, or this user, knows of stores without asking them: an attacker with write access to a store can
 * write any orders (sessions, jobs, schedules) and descriptions of sets.
 */
export interface Box {
  readonly directory: string;
  of(store: StorePlace): StoreMemory;
  /** Makes the directory, if it is not there. Rejects where that cannot be done. */
  prepare(): Promise<void>;
  /** Whether it has no memory yet, not even of having begun. */
  isNew(): Promise<boolean>;
  /** From now on it is not new, and adopts nothing automatically. Rejects where that cannot be noted. */
  begin(): Promise<void>;
  /** Why nothing is remembered; undefined: all is well. */
  problem(): Promise<string | undefined>;
  /** Forgets everything, the key too: every store has to be adopted again. */
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
