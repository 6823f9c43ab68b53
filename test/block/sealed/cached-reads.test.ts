import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { seeded } from '../../support/random.ts';
import { bytesOf } from './oracle.ts';
import { open, PAGE, prepared, rig } from './rig.ts';

/** A medium of which `state.cached` says what memory holds: all of it, nothing, or that nothing can tell. */
function medium(files: FileSystem) {
  const state = { cached: true as boolean | undefined, blocking: 0 };
  const told: FileSystem = {
    ...files,
    async open(path, access) {
      const file = await files.open(path, access);
      return {
        ...file,
        readCached: (into, at) => (state.cached ? file.readCached(into, at) : state.cached),
        readNow(into, at) {
          state.blocking++;
          return file.readNow(into, at);
        },
      };
    },
  };
  return { state, files: told };
}

for (const { cached, effort, isRead, blocking } of [
  { cached: true, effort: 'memory', isRead: true, blocking: 0 },
  { cached: false, effort: 'memory', isRead: false, blocking: 0 },
  { cached: false, effort: 'medium', isRead: true, blocking: 1 },
  { cached: undefined, effort: 'memory', isRead: true, blocking: 1 },
] as const) {
  const name = cached === undefined ? 'a file system that cannot tell' : `memory has it: ${cached}`;
  test(`a page of the log is read at once (${name}, ${effort}): ${isRead}, ${blocking} blocking`, async () => {
    const it = rig(seeded(1), 1);
    const disk = await prepared(it);
    const { files, state } = medium(disk.files);
    const overlay = await open(files, it);
    await overlay.write(bytesOf(1, 0, PAGE), 0, 'cached');
    const into = new Uint8Array(PAGE);
    state.cached = cached;
    state.blocking = 0;
    equal(overlay.tryRead(into, 0, effort), isRead);
    equal(state.blocking, blocking);
    if (!isRead) await overlay.read(into, 0);
    deepEqual(Buffer.from(into), bytesOf(1, 0, PAGE));
  });
}
