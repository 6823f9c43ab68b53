import {
  field,
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
} from '../../lib/schema.ts';
import { count, first, line, name, nothing, PATH_MAX, prose, time, word } from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';

/*
 * Single files of recovery points and sessions. Their volumes are mounted, which needs root's rights: the service
 * passes these operations on to a small service of their own (systemd/holdfast-filesd.service).
 */

const PATHS_MAX = 1000;
const PAGE_MAX = 500;
const MANY = 10_000;
const path = text({ max: PATH_MAX });
const id = field(word, 'ID of the open volumes, as "files opened" shows it', { placeholder: 'ID' });
const volumeName = field(word, 'name of the volume: vda1, or vg-lv', { placeholder: 'VOLUME' });

const volumeSummary = object({
  volume: field(word, 'name of the volume: vda1, or vg-lv'),
  disk: field(word, 'name of the disk that it is in'),
  kind: field(word, 'the file system; unknown: "found" says what it is'),
  found: field(prose, 'what was found on it'),
  label: field(nullable(prose), 'label of the file system'),
  size: field(nullable(count), 'its size in bytes'),
  closed: field(nullable(prose), 'why it is not open; null: it is open'),
});
/** A volume in a machine's disk. */
export type VolumeSummary = Of<typeof volumeSummary>;

const at = field(prose, 'the directory that the volumes are in, by their names');
const point = field(word, 'the recovery point or session');

/** Volumes that are open for the whole host. */
const openedVolumes = object({
  id,
  point,
  at,
  disks: field(
    list(object({ disk: field(word, 'name of the disk'), path: field(prose, 'its image') }), MANY),
    'disks',
  ),
  volumes: field(list(volumeSummary, MANY), 'volumes'),
});
export type OpenedVolumes = Of<typeof openedVolumes>;

const openFilesSummary = object({
  id,
  point,
  opened: time('when it was opened'),
  at,
  process: field(count, 'process that has it open'),
  state: field(
    oneOf('open', 'left'),
    'left: its process is gone, and closing it removes what is there',
  ),
  volumes: field(list(volumeSummary, MANY), 'volumes, as far as the process that was asked knows'),
});
export type OpenFilesSummary = Of<typeof openFilesSummary>;

const entry = object({
  path: field(prose, 'path in the volume, without a leading "/"'),
  kind: field(oneOf('file', 'directory', 'link', 'other'), 'what it is'),
  size: field(count, 'its size in bytes'),
  mode: field(count, 'its mode as a number: 0o755 is 493'),
  uid: field(count, 'user ID of its owner'),
  gid: field(count, 'its group ID'),
  modified: time('when it was modified'),
  target: field(nullable(prose), 'what a link points to; null: it is not a link'),
});

const copiedFiles = object({
  volume: field(word, 'name of the volume'),
  to: field(prose, 'the directory that they are in'),
  lost: field(
    list(prose, MANY),
    'what the destination could not take of owners, access lists and attributes',
  ),
});
export type CopiedFiles = Of<typeof copiedFiles>;

const open = mutation('files/open', {
  summary: 'Open the volumes of a recovery point or session as directories',
  runs: 'filesd',
  changes: ['files'],
  key: 'opens',
  passkey: 'asked',
  lockdown: 'allowed',
  request: object({
    what: field(text({ max: 512 }), 'the recovery point or session'),
    disk: field(optional(word), 'only this disk'),
    isolated: field(withDefault(flag(), false), 'read file systems in a virtual machine only'),
  }),
  result: openedVolumes,
});

const opened = query('files/opened', {
  summary: 'List open volumes',
  runs: 'filesd',
  request: nothing,
  result: object({ opened: field(list(openFilesSummary, MANY), 'what is open') }),
});

const close = mutation('files/close', {
  summary: 'Unmount open volumes',
  description: 'Without "id", all.',
  runs: 'filesd',
  changes: ['files'],
  lockdown: 'allowed',
  request: object({ id: field(optional(word), 'ID of what is open') }),
  result: object({ closed: field(list(word, MANY), 'IDs of what was closed') }),
});

const browse = mutation('files/browse', {
  summary: 'List a directory of an open volume',
  description: 'Directories first.',
  runs: 'filesd',
  changes: [],
  lockdown: 'allowed',
  request: object({
    id,
    volume: volumeName,
    path: field(withDefault(path, '/'), 'the directory'),
    first: first('how many entries to skip before the first'),
    count: field(withDefault(integer(1, PAGE_MAX), 100), 'how many'),
  }),
  result: object({
    total: field(count, 'how many there are'),
    first: field(count, 'how many were skipped before the first'),
    entries: field(list(entry, PAGE_MAX), 'entries'),
    refused: field(nullable(prose), 'why some are missing; null: none is'),
  }),
});

const copy = mutation('files/copy', {
  summary: 'Copy files out of an open volume',
  description:
    'Copies from a volume that the service has open ("files open") to its directory for restored files ' +
    `("restores" in the settings). Set-uid and set-gid bits are not copied, so that a guest's programs ` +
    'gain no rights here. After an interruption, repeat the command: it continues.',
  runs: 'filesd',
  changes: [],
  lockdown: 'allowed',
  request: object({
    id,
    volume: volumeName,
    paths: field(list(path, PATHS_MAX, 1), 'a file or directory in the volume', {
      placeholder: 'PATH',
    }),
    to: field(
      text({
        ...{ max: 128, pattern: /^[\w][\w. -]*$/ },
        words: 'a name of letters, digits, ".", "_", "-" and blanks',
      }),
      'a directory in the one for restored files; created if necessary',
      { placeholder: 'NAME' },
    ),
    overwrite: field(
      withDefault(flag(), false),
      'replace files that differ; without it nothing is copied if a file would be replaced',
    ),
  }),
  result: copiedFiles,
  cli: {
    args: ['id', 'volume', 'paths'],
    examples: ['files copy 3f9c2a vda1 /etc /var/www --to web1-files'],
  },
});

/** An answer stays small; a file takes several. */
export const READ_MAX = 1024 * 1024;

const read = mutation('files/read', {
  summary: 'Read a part of a file in an open volume',
  runs: 'filesd',
  changes: [],
  lockdown: 'allowed',
  request: object({
    id,
    volume: volumeName,
    path: field(path, 'a file in the volume'),
    first: first('how many bytes to skip'),
    length: field(withDefault(integer(0, READ_MAX), READ_MAX), 'how many bytes at most'),
  }),
  result: object({
    size: field(count, 'size of the whole file in bytes'),
    mode: field(count, 'its mode as a number'),
    uid: field(count, 'user ID of its owner'),
    gid: field(count, 'its group ID'),
    base64: field(text({ max: 2 * READ_MAX, min: 0 }), 'the bytes in base64'),
  }),
});

const put = mutation('files/put', {
  summary: 'Put a file of a recovery point or session into a running guest',
  description:
    "The guest's QEMU agent writes the file and reads it back, and the two are compared. If the agent may run " +
    'programs, the file gets its owner and mode, and appears when it is complete. At most 16 MiB.',
  runs: 'service',
  changes: [],
  key: 'opens',
  passkey: 'asked',
  lockdown: 'allowed',
  request: object({
    what: field(line(512), 'the recovery point or session', {
      ...{ placeholder: 'POINT|SESSION', names: 'points' },
    }),
    disk: field(name, 'name of the disk', { placeholder: 'DISK', names: 'disks' }),
    path: field(path, 'a file in it', { placeholder: 'PATH' }),
    to: field(
      line(PATH_MAX + 512),
      'where it goes: a machine, and the absolute path in its guest',
      {
        placeholder: 'HYPERVISOR/MACHINE:PATH',
      },
    ),
    volume: field(optional(word), 'the volume of the file, if several have this path', {
      placeholder: 'NAME',
    }),
    overwrite: field(withDefault(flag(), false), 'replace an existing file'),
    isolated: field(withDefault(flag(), false), 'read file systems in a virtual machine only'),
  }),
  result: object({
    machine: field(word, 'the machine'),
    path: field(prose, 'where it is in its guest'),
    size: field(count, 'its size in bytes'),
    sha256: field(word, 'its SHA-256, in hexadecimal'),
    replaced: field(flag(), 'whether it replaced another file'),
    lost: field(list(prose, MANY), 'what could not be done: its owner, its mode'),
  }),
  cli: {
    args: ['what', 'disk', 'path'],
    examples: [
      'files put web1@latest vda /etc/nginx/nginx.conf --to kvm1/web1:/etc/nginx/nginx.conf',
    ],
  },
});

export const operations = [open, opened, close, browse, read, copy, put] as const;
