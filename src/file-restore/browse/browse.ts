import { GranularError } from '../base/file-restore-error.ts';
import { findInside } from '../base/paths.ts';
import {
  exitCode,
  lastWords,
  outputOf,
  PARSER_MEMORY_MAX,
  startProgram,
} from '../base/programs.ts';

/** An entry in a volume. */
export interface Entry {
  /** The path inside the volume, without a leading `/`. Bytes that are not UTF-8 show as U+FFFD. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  /** Size in bytes. */
  readonly size: number;
  /** Permissions, with set-uid and so on: 0o755. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
  /** The target of a link, unchanged. */
  readonly target: string | undefined;
}

export interface BrowseOptions {
  readonly signal?: AbortSignal;
}

/** `find` prints at least one record for each directory that it enters. */
const IDLE_MS = 120_000;
/** A path and a link's target of 4 KiB each, three times as long because of U+FFFD, and the numbers. */
const RECORD_LENGTH_MAX = 64 * 1024;
const KINDS: Readonly<Record<string, Entry['kind']>> = { f: 'file', d: 'directory', l: 'link' };
const FORMAT = '%y\\0%s\\0%m\\0%U\\0%G\\0%T@\\0%P\\0%l\\0';
const FIELDS = 8;

/**
 * Lists the directory `path` of the volume at `root`, in the order of the disk; a file yields itself. Throws
 * UNREADABLE at the end if something could not be read: the rest was yielded before.
 */
export async function* listDirectory(
  root: string,
  path: string,
  options: BrowseOptions = {},
): AsyncGenerator<Entry> {
  const inside = await findInside(root, path, { follow: true, ...options });
  const depth = inside.kind === 'directory' ? '1' : '0';
  const args = ['-mindepth', depth, '-maxdepth', depth, '-printf', FORMAT];
  yield* entries(root, inside.path, args, options);
}

/** Finds all entries below `path`, also in subvolumes, whose name (not path) matches the shell pattern `name`. */
export async function* findFiles(
  root: string,
  path: string,
  { name, ...options }: BrowseOptions & { readonly name: string | undefined },
): AsyncGenerator<Entry> {
  const inside = await findInside(root, path, { follow: true, ...options });
  const match = name === undefined ? [] : ['-name', name];
  // An empty record for each directory distinguishes a search without results from one that hangs.
  const beat = ['-type', 'd', '-printf', '\\0', ','];
  const args = ['-mindepth', '1', ...beat, ...match, '-printf', FORMAT];
  yield* entries(root, inside.path, args, options);
}

async function* entries(
  root: string,
  path: string,
  args: readonly string[],
  { signal }: BrowseOptions,
): AsyncGenerator<Entry> {
  const start = path === '' ? root : `${root}/${path}`;
  await using find = await startProgram('find', ['-P', start, ...args], {
    idleMs: IDLE_MS,
    memoryMax: PARSER_MEMORY_MAX,
    ...(signal && { signal }),
  });
  find.stdin.end();
  let rest: Buffer = Buffer.alloc(0);
  for await (const part of outputOf(find)) {
    const text = rest.length === 0 ? part : Buffer.concat([rest, part]);
    const { found, used } = parseEntries(text, path);
    yield* found;
    rest = text.subarray(used);
    if (rest.length > RECORD_LENGTH_MAX) {
      throw new GranularError('UNREADABLE', 'the volume has a path that is too long');
    }
  }
  const end = await find.ended;
  if (exitCode('find', end) !== 0) {
    throw new GranularError('UNREADABLE', `a part could not be read: ${lastWords(end.stderr)}`);
  }
}

/** Parses the whole records in `text`, whose paths are below `above`, and returns where the rest begins. */
function parseEntries(
  text: Buffer,
  above: string,
): { readonly found: Entry[]; readonly used: number } {
  const found: Entry[] = [];
  let used = 0;
  for (;;) {
    // A record's first field is never empty.
    while (text[used] === 0) used++;
    const fields: string[] = [];
    let at = used;
    while (fields.length < FIELDS) {
      const end = text.indexOf(0, at);
      if (end < 0) return { found, used };
      fields.push(text.toString('utf8', at, end));
      at = end + 1;
    }
    used = at;
    found.push(entryOf(fields, above));
  }
}

function entryOf(fields: readonly string[], above: string): Entry {
  const [type, size, mode, uid, gid, modified, below, target] = fields as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const kind = KINDS[type] ?? 'other';
  return {
    path: [above, below].filter((it) => it !== '').join('/'),
    kind,
    size: Number(size),
    mode: Number.parseInt(mode, 8),
    uid: Number(uid),
    gid: Number(gid),
    modified: millisecondsOf(modified),
    target: kind === 'link' ? target : undefined,
  };
}

/** The range of a Date: Btrfs and XFS allow times outside it. */
const DATE_MAX_MS = 8.64e15;

/** `find` writes seconds and, as if they were a fraction of them, nanoseconds that count upwards: -2.5 is -1.5. */
function millisecondsOf(text: string): number {
  const [seconds, fraction = '0'] = text.split('.') as [string, string?];
  const ms = Number(seconds) * 1000 + Math.round(Number(`0.${fraction}`) * 1000);
  return Math.min(DATE_MAX_MS, Math.max(-DATE_MAX_MS, ms));
}
