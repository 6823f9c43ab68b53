import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';

/*
 * Functions inside a native module that this process has loaded, for what its own interface does not offer.
 */

/** A mapping's line has its path after the address, rights, offset, device and inode. */
const PATH_IN_MAPS = /^\S+ \S+ \S+ \S+ \d+\s+(\/.+)$/;

/** The loaded file of a native module whose path matches; undefined: none is loaded. */
function loadedModule(path: RegExp): string | undefined {
  const lines = readFileSync('/proc/self/maps', 'latin1').split('\n');
  return lines.map((line) => PATH_IN_MAPS.exec(line)?.[1]).find((it) => it && path.test(it));
}

/**
 * Calls `void name(int)` in a loaded native module, for the whole process: not in a worker thread. False: it was not
 * called, because this is one, or the module is not loaded or does not export such a function.
 */
export function callLoaded(path: RegExp, name: string, argument: number): boolean {
  const file = isMainThread ? loadedModule(path) : undefined;
  if (file === undefined) return false;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    koffi.load(file).func(`void ${name}(int argument)`)(argument);
    return true;
  } catch {
    // koffi's errors have no codes: it cannot load the file again, or the function is not there.
    return false;
  }
}
