import {
  flag,
  integer,
  list,
  nullable,
  type Of,
  object,
  oneOf,
  optional,
  text,
  withDefault,
} from '../lib/schema.ts';
import { changes, looks, withKey } from './operation.ts';
import { nothing } from './requests.ts';

/*
 * Single files of recovery points and sessions. Their volumes are mounted, which needs root's rights: the service hands
 * these on to a small service of their own (systemd/holdfast-filesd.service).
 */

const PATHS_MAX = 1000;
const PAGE_MAX = 500;
const MANY = 10_000;

const name = text({ max: 256 });
const long = text({ max: 64 * 1024, min: 0 });
const count = integer(0, Number.MAX_SAFE_INTEGER);
/** Inside a volume. */
const path = text({ max: 4096 });

export const volumeSummary = object({
  /** `vda1`, or `vg-lv`. */
  ...{ volume: name, disk: name },
  /** `unknown` is something else, or nothing: `found` says what. */
  ...{ kind: name, found: long },
  ...{ label: nullable(long), size: nullable(count) },
  /** Why it is not open; null: it is. */
  closed: nullable(long),
});

/** Volumes that are open for the whole host. */
export const openedVolumes = object({
  ...{ id: name, point: name },
  /** Volumes lie below it by their names. */
  at: long,
  disks: list(object({ disk: name, path: long }), MANY),
  volumes: list(volumeSummary, MANY),
});

export const openFilesSummary = object({
  ...{ id: name, point: name, opened: name, at: long, process: count },
  /** `left`: its process is gone, and closing it takes away what is there. */
  state: oneOf('open', 'left'),
  /** As far as who was asked knows them: what it has open itself. */
  volumes: list(volumeSummary, MANY),
});

/** Something in a volume. */
const entry = object({
  /** Without a leading `/`. */
  path: long,
  kind: oneOf('file', 'directory', 'link', 'other'),
  size: count,
  /** As a number: 0o755 is 493. */
  ...{ mode: count, uid: count, gid: count, modified: name },
  /** Of a link. */
  target: nullable(long),
});

export const copiedFiles = object({
  ...{ volume: name, to: long },
  /** What the destination could not take of owners, lists of rights and attributes. */
  lost: list(long, MANY),
});

export const FILES_OPERATIONS = {
  'files/open': withKey(
    changes(
      'show the volumes of a recovery point, or of a session, as directories until they are closed',
      object({
        what: text({ max: 512 }),
        disk: optional(name),
        isolated: withDefault(flag(), false),
      }),
      openedVolumes,
    ),
  ),
  'files/opened': looks(
    'list whose volumes are open',
    nothing,
    object({ opened: list(openFilesSummary, MANY) }),
  ),
  'files/close': changes(
    'unmount the volumes that are open under an ID; without `id`, all',
    object({ id: optional(name) }),
    object({ closed: list(name, MANY) }),
  ),
  'files/browse': changes(
    'list a directory of an open volume, directories first',
    object({
      ...{ id: name, volume: name, path: withDefault(path, '/') },
      /** How many entries are left out before the first. */
      first: withDefault(count, 0),
      count: withDefault(integer(1, PAGE_MAX), 100),
    }),
    object({
      ...{ total: count, first: count, entries: list(entry, PAGE_MAX) },
      /** Why not all of it is there; null: all is. */
      refused: nullable(long),
    }),
  ),
  'files/copy': changes(
    'copy files and directories out of an open volume, to where the service keeps restored files',
    object({
      ...{ id: name, volume: name, paths: list(path, PATHS_MAX, 1) },
      /** A directory there, new or not. */
      to: text({
        ...{ max: 128, pattern: /^[\w][\w. -]*$/ },
        words: 'a name of letters, digits, ".", "_", "-" and blanks',
      }),
      /** Without it nothing is copied where a file would be replaced. */
      overwrite: withDefault(flag(), false),
    }),
    copiedFiles,
  ),
} as const;

export type FilesOperationName = keyof typeof FILES_OPERATIONS;
export type FilesRequestOf<N extends FilesOperationName> = Of<
  (typeof FILES_OPERATIONS)[N]['request']
>;
export type FilesResultOf<N extends FilesOperationName> = Of<
  (typeof FILES_OPERATIONS)[N]['result']
>;

export function isFilesOperation(name: string): name is FilesOperationName {
  return Object.hasOwn(FILES_OPERATIONS, name);
}
