import type { StoreMemory } from '../../src/box/store-memory.ts';

/** A memory that takes every order for its own, for tests of other things. */
export function trustingMemory(): StoreMemory {
  const nothing = async (): Promise<void> => {};
  return {
    published: {
      ...{ get: async () => undefined, list: async () => [], note: nothing, forget: nothing },
    },
    marked: { of: async () => new Map(), note: nothing, forget: nothing, forgetSet: nothing },
    look: async () => ({
      problem: undefined,
      ...{ isOurs: () => true, set: () => undefined, lost: [], gained: [] },
    }),
    ...{ remember: nothing, settle: nothing, forget: nothing, rememberSet: nothing },
    ...{ forgetSet: nothing },
    ...{ meet: async () => 'known', mark: nothing, adopt: nothing },
  };
}
