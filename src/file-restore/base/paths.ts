import { GranularError } from './file-restore-error.ts';
import { printable } from '../../lib/printable.ts';
import { lastWords, runProgram } from './programs.ts';

/*
 * Paths inside a volume. A guest's symbolic links refer to places in the guest, so they are followed here, by their
 * text and inside the volume; the kernel of this host never follows one.
 */

const LOOK_MS = 120_000;
/** The limit of Linux: a path with more links is a loop. */
const LINKS_MAX = 40;
const PATH_LENGTH_MAX = 4095;
/** All parents of a name go into one command line. */
const DEPTH_MAX = 400;

export interface Inside {
  /** The path without links; `` is the volume's root. Never begins with `/`. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link' | 'device' | 'other';
}

/** The names in a path as people write it. Throws BAD_PATH. */
export function namesOf(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..'))
    throw new GranularError('BAD_PATH', `"${printable(path)}" contains ".."`);
  if (path.includes('\0') || path.length > PATH_LENGTH_MAX || names.length > DEPTH_MAX) {
    throw new GranularError('BAD_PATH', `"${printable(path.slice(0, 100))}" is not a path`);
  }
  return names;
}

/**
 * The place to which `path` leads in the volume that is mounted at `root`. Links on the way are followed; a final one
 * only if `follow`. Rejects NOT_FOUND, BAD_PATH.
 */
export async function findInside(
  root: string,
  path: string,
  { follow, signal }: { readonly follow: boolean; readonly signal?: AbortSignal },
): Promise<Inside> {
  let names = namesOf(path);
  for (let links = 0; links <= LINKS_MAX; links++) {
    const seen = await look(root, names, signal);
    const at = seen.findIndex(
      ({ type }, depth) => type !== 'd' && (depth < names.length || (follow && type === 'l')),
    );
    const stop = seen[at];
    if (stop === undefined) {
      const end = seen[names.length];
      if (!end) throw notFound(path);
      return { path: names.join('/'), kind: kindOf(end.type) };
    }
    // A file on the way ends the path.
    if (stop.type !== 'l') throw notFound(path);
    names = [...followed(names.slice(0, at - 1), stop.target), ...names.slice(at)];
    if (names.length > DEPTH_MAX) throw notFound(path);
  }
  throw new GranularError('BAD_PATH', `"${printable(path)}" is a loop of links`);
}

/** The target of a link's text in a directory; as in the guest, `..` of the root is the root. */
function followed(directory: readonly string[], target: string): string[] {
  const names = target.startsWith('/') ? [] : [...directory];
  for (const name of target.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return names;
}

interface Look {
  readonly type: string;
  readonly target: string;
}

/** The root and each name after it, up to the first that is missing or a link. */
async function look(root: string, names: readonly string[], signal?: AbortSignal): Promise<Look[]> {
  const starts = [root];
  for (const name of names) starts.push(`${starts.at(-1)}/${name}`);
  // find -P reports each start itself; of starts behind a link only those before it count.
  const args = ['-P', ...starts, '-maxdepth', '0', '-printf', '%y\\0%p\\0%l\\0'];
  const { stdout, stderr } = await runProgram('find', args, {
    timeoutMs: LOOK_MS,
    ...(signal && { signal }),
  });
  const fields = stdout.toString().split('\0');
  const found: Look[] = [];
  for (let at = 0; at + 2 < fields.length; at += 3) {
    if (fields[at + 1] !== starts[found.length]) break;
    found.push({ type: fields[at]!, target: fields[at + 2]! });
    if (fields[at] !== 'd') break;
  }
  if (found.length === 0) {
    throw new GranularError('UNREADABLE', `nothing is mounted at ${root}: ${lastWords(stderr)}`);
  }
  return found;
}

function kindOf(type: string): Inside['kind'] {
  if (type === 'f') return 'file';
  if (type === 'd') return 'directory';
  if (type === 'b' || type === 'c') return 'device';
  return type === 'l' ? 'link' : 'other';
}

function notFound(path: string): GranularError {
  return new GranularError('NOT_FOUND', `no "${printable(path)}" in this volume`);
}
