import { dirname } from 'node:path/posix';
import type { FileNode } from '../formats/store/sessions/files-log.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import { type ContentFiles, contentId } from './contents.ts';
import { createFilesLog, type LogKey } from './files-log.ts';
import { namespace, ROOT } from './namespace.ts';
import { linkNode, makeNode } from './namespace-steps.ts';
import { TreeError } from './tree-error.ts';

/** The initial contents of a session's tree. */
export interface FirstFiles {
  readonly disks: readonly {
    readonly disk: string;
    readonly size: number;
    /** One file under several names. */
    readonly names: readonly [string, ...string[]];
  }[];
  readonly files: readonly { readonly name: string; readonly contents: Uint8Array }[];
}

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o755;
const DIRECTORY_SIZE = 4096;

export interface FirstOptions {
  readonly first: FirstFiles;
  readonly now: number;
  readonly contents: ContentFiles;
  readonly key: LogKey;
}

/** Creates `log`, and before that the files that it names. Rejects TreeError CORRUPT if there was a log before. */
export async function makeFirstFiles(
  files: FileSystem,
  log: string,
  { first, now, contents, key }: FirstOptions,
): Promise<void> {
  const made = firstNames(first, now);
  await checkNoneBefore(files, log, first);
  for (const [id, bytes] of made.contents) await contents.make(id, bytes);
  await files.syncDirectory(dirname(log));
  await createFilesLog(files, log, { changes: made.names.whole(), key });
}

/**
 * Contents of files other than the initial ones have a log that names them: if there is none, it was lost. Rejects
 * TreeError CORRUPT.
 */
export async function checkNoneBefore(
  files: FileSystem,
  log: string,
  first: FirstFiles,
): Promise<void> {
  const { contents } = firstNames(first, 0);
  for (const name of await files.list(dirname(log))) {
    const id = contentId(name);
    if (id === undefined || contents.has(id)) continue;
    throw new TreeError(
      'CORRUPT',
      `${log} is missing: it names the files whose contents are in ${name} and others`,
    );
  }
}

function firstNames(first: FirstFiles, now: number) {
  const names = namespace();
  const contents = new Map<number, Uint8Array>();
  const owner = { uid: 0, gid: 0 };
  const root: FileNode = {
    ...{ id: ROOT, kind: 'directory', mode: DIRECTORY_MODE, links: 2, size: DIRECTORY_SIZE },
    ...{ ...owner, accessedMs: now, modifiedMs: now, changedMs: now },
    ...{ target: undefined, disk: undefined, exclusive: undefined },
  };
  names.apply([{ op: 'put', node: root }]);

  function make(name: string, what: { readonly size: number; readonly disk?: string }): number {
    const node = { kind: 'file', mode: FILE_MODE, ...owner, ...what } as const;
    const { id, changes } = makeNode(names, { directory: ROOT, name }, node, now);
    names.apply(changes);
    return id;
  }
  for (const { disk, size, names: its } of first.disks) {
    const id = make(its[0], { disk, size });
    for (const name of its.slice(1)) {
      names.apply(linkNode(names, id, { directory: ROOT, name }, now));
    }
  }
  for (const { name, contents: bytes } of first.files) {
    contents.set(make(name, { size: bytes.length }), bytes);
  }
  return { names, contents };
}
