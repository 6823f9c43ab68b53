import type { FileSystem } from '../../../src/sys/files/file-system.ts';

/** Counts syncs of segments that hold something of guests, which is all but the first of each; holds them up. */
export function heldSyncs(files: FileSystem) {
  const state = { syncs: 0, until: Promise.resolve() };
  const holding: FileSystem = {
    ...files,
    async open(path, access) {
      const file = await files.open(path, access);
      if (!path.endsWith('.seg')) return file;
      let isBorn = false;
      return {
        ...file,
        async sync() {
          await file.sync();
          if (isBorn) {
            state.syncs++;
            await state.until;
          }
          isBorn = true;
        },
      };
    },
  };
  return { state, files: holding };
}
