import { GranularError } from '../base/file-restore-error.ts';
import { findInside, type Inside } from '../base/paths.ts';
import { printable } from '../../lib/printable.ts';
import { exitCode, lastWords, outputOf, runProgram, startProgram } from '../base/programs.ts';

export interface CopyProgress {
  /** In bytes, like `total`; 0: not known yet. */
  readonly position: number;
  readonly total: number;
}

export interface CopyOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CopyProgress) => void;
  /** Drops set-ID bits and capabilities, so that a guest's program cannot run here with its owner's rights. */
  readonly dropSetId?: boolean;
  /** Replaces different files at the destination. Without it nothing is copied if a file would be replaced. */
  readonly overwrite?: boolean;
}

export interface CopyResult {
  /** Absolute path of the directory to which it was copied, or of the file that it became. */
  readonly to: string;
  /** Owners, access lists and attributes that the destination could not store; only some if there are many. */
  readonly lost: readonly string[];
}

/** Some file systems take long to delete or to extend one huge file, but never this long. */
const IDLE_MS = 15 * 60_000;
const LOOK_MS = 60_000;
const NOTES_MAX = 20;
/** The most files to be replaced that a message names. */
const NAMED_MAX = 5;
/** A directory beside the file, for the rest of an interrupted copy: under its own name a file is always whole. */
const PARTIAL_DIRECTORY = '.holdfast-partial';
/** rsync, "EXIT VALUES": some files failed, some were gone. */
const PARTIAL = 23;
const VANISHED = 24;
/** Error lines about metadata of a file that itself was copied. */
const ATTACHED =
  /\b(set_acl|get_acl|sys_acl_\w+|rsync_xal_\w+|\w*xattr\w*|chown|chgrp|failed to set (times|permissions)|chmod)\b/;
/** An attribute counts as content if the destination supports attributes, but not ones this large. */
const ATTRIBUTE = /\brsync_xal_set\b/;
const TOO_LARGE = /No space left on device|Argument list too long|Numerical result out of range/;
const FULL = /No space left on device|Disk quota exceeded/;
const READ_ONLY = /Read-only file system|Permission denied/;
const SOURCE =
  /\b(read errors mapping|readlink_stat|link_stat|opendir|readdir|send_files failed to open)\b/;

/**
 * Copies files and directories of the volume at `root` with names, times, owners, holes, hard links and metadata.
 * `to` is a directory, in which they keep their names and which is created if necessary, or for one file the new
 * file's name. Files that exist there with the same size and time are not copied again: after an interruption, run it
 * again. Links are copied as links, device files not at all. Rejects EXISTS if files would be replaced; changes of
 * rights alone do not count.
 */
export async function copyOut(
  root: string,
  paths: readonly string[],
  to: string,
  { signal, onProgress, dropSetId = false, overwrite = false }: CopyOptions = {},
): Promise<CopyResult> {
  const sources = await findSources(root, paths, signal);
  const destination = await destinationOf(sources, to, signal);
  const args = [
    ...['--archive', '--hard-links', '--acls', '--xattrs', '--sparse', '--numeric-ids'],
    // Access lists are copied as such. XFS shows them as attributes too, other file systems show their raw form.
    ...['--filter=-x trusted.SGI_ACL_*', '--filter=-x system.*'],
    // A guest's device file would give access to this host's devices.
    ...['--no-devices', `--partial-dir=${PARTIAL_DIRECTORY}`, '--no-human-readable'],
    // File capabilities (capabilities(7)) give a program rights as set-uid does; a guest's SELinux labels mean nothing.
    ...(dropSetId ? ['--chmod=ug-s', '--filter=-x security.*'] : []),
  ];
  const places = [
    '--',
    ...sources.map(({ path }) => (path === '' ? `${root}/` : `${root}/${path}`)),
    destination,
  ];
  if (!overwrite) await refuseToReplace(args, places, signal);
  const shown = ['--no-inc-recursive', '--info=progress2', '--outbuf=L'];
  await using rsync = await startProgram('rsync', [...args, ...shown, ...places], {
    idleMs: IDLE_MS,
    ...(signal && { signal }),
  });
  rsync.stdin.end();
  let told = -1;
  for await (const part of outputOf(rsync)) {
    const progress = progressOf(part.toString());
    // It repeats the same progress for every file that exists already.
    if (progress && progress.position !== told) onProgress?.(progress);
    told = progress?.position ?? told;
  }
  const end = await rsync.ended;
  const lost = judge(exitCode('rsync', end), end.stderr, to);
  return { to: destination, lost };
}

/** Runs rsync dry to find files that it would replace. Not needed where the destination is new or empty. */
async function refuseToReplace(
  args: readonly string[],
  places: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const destination = places.at(-1)!;
  const limits = { timeoutMs: LOOK_MS, ...(signal && { signal }) };
  // A file itself; for a directory, its contents.
  const depth = destination.endsWith('/') ? '1' : '0';
  const look = ['-P', destination, '-mindepth', depth, '-maxdepth', depth, '-print', '-quit'];
  if ((await runProgram('find', look, limits)).stdout.length === 0) return;
  const asked = [...args, '--dry-run', '--existing', '--out-format=%i %n', ...places];
  await using rsync = await startProgram('rsync', asked, {
    idleMs: IDLE_MS,
    ...(signal && { signal }),
  });
  rsync.stdin.end();
  let [rest, count] = ['', 0];
  const first: string[] = [];
  for await (const part of outputOf(rsync)) {
    const lines = `${rest}${part.toString()}`.split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const name = replacedBy(line);
      if (name === undefined) continue;
      count++;
      if (first.length < NAMED_MAX) first.push(printable(name));
    }
  }
  // Other problems will show up in the real run, as they did here.
  exitCode('rsync', await rsync.ended);
  if (count === 0) return;
  const more = count > first.length ? ` and ${count - first.length} more` : '';
  throw new GranularError(
    'EXISTS',
    `${first.join(', ')}${more} would be replaced in ${destination}; nothing was copied: ` +
      'choose another directory, or overwrite them (--overwrite)',
  );
}

/** The name in a line `%i %n` (rsync(1), --itemize-changes) if it replaces what exists: content, kind or target. */
function replacedBy(line: string): string | undefined {
  const isReplaced = /^(?:[<>ch][fLDS]|cd\+)\S* /.test(line);
  return isReplaced ? line.slice(line.indexOf(' ') + 1) : undefined;
}

/**
 * Files and directories of the volume at `root` as one archive, named as in the volume. A tar holds all their
 * metadata, a zip names, times and modes. Throws at its end as `copyOut`.
 */
export async function* archive(
  root: string,
  paths: readonly string[],
  { format, signal }: { readonly format: 'tar' | 'zip'; readonly signal?: AbortSignal },
): AsyncGenerator<Uint8Array> {
  const sources = await findSources(root, paths, signal);
  const members = sources.map(({ path }) => (path === '' ? '.' : path));
  const [program, args] =
    format === 'tar'
      ? (['tar', [...TAR, '-C', root, ...members.map((it) => `--add-file=${it}`)]] as const)
      : // A member `@x` would mean an archive to copy from; the substitution removes `./` again.
        (['bsdtar', [...ZIP, '-C', root, ...members.map((it) => `./${it}`)]] as const);
  await using tool = await startProgram(program, args, {
    idleMs: IDLE_MS,
    ...(signal && { signal }),
  });
  tool.stdin.end();
  yield* outputOf(tool);
  const end = await tool.ended;
  if (exitCode(program, end) !== 0) {
    throw new GranularError('INCOMPLETE', `the archive is not whole: ${lastWords(end.stderr)}`);
  }
}

/** The bytes of one file. */
export async function* readOut(
  root: string,
  path: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): AsyncGenerator<Uint8Array> {
  const inside = await findInside(root, path, { follow: true, ...(signal && { signal }) });
  if (inside.kind !== 'file')
    throw new GranularError('BAD_PATH', `"${printable(path)}" is not a file`);
  await using tool = await startProgram('cat', ['--', `${root}/${inside.path}`], {
    idleMs: IDLE_MS,
    ...(signal && { signal }),
  });
  tool.stdin.end();
  yield* outputOf(tool);
  const end = await tool.ended;
  if (exitCode('cat', end) !== 0) throw new GranularError('UNREADABLE', lastWords(end.stderr));
}

const TAR = [
  ...['--create', '--file=-', '--format=posix', '--sparse', '--numeric-owner', '--acls'],
  ...[
    '--xattrs',
    '--xattrs-include=*',
    '--xattrs-exclude=trusted.SGI_ACL_*',
    '--warning=no-file-ignored',
  ],
];
const ZIP = ['-c', '-f', '-', '--format=zip', '-s', ',^\\./,,S'];

async function findSources(
  root: string,
  paths: readonly string[],
  signal?: AbortSignal,
): Promise<Inside[]> {
  const sources: Inside[] = [];
  for (const path of paths) {
    // A trailing slash means what a link leads to.
    const follow = path.endsWith('/');
    const source = await findInside(root, path, { follow, ...(signal && { signal }) });
    if (source.kind === 'device') {
      throw new GranularError(
        'BAD_PATH',
        `"${printable(path)}" is a device file: it has no content`,
      );
    }
    const same = sources.find((it) => baseOf(it.path) === baseOf(source.path));
    if (same) {
      throw new GranularError(
        'BAD_PATH',
        `"${printable(same.path)}" and "${printable(source.path)}" would get the same name: copy them separately`,
      );
    }
    sources.push(source);
  }
  return sources;
}

/** An existing directory, a new one, or a file's name. */
async function destinationOf(
  sources: readonly Inside[],
  to: string,
  signal?: AbortSignal,
): Promise<string> {
  if (!to.startsWith('/') || to.includes('\0')) {
    throw new GranularError('BAD_PATH', `"${printable(to)}" is not an absolute path`);
  }
  const options = { timeoutMs: LOOK_MS, ...(signal && { signal }) };
  const seen = await runProgram('stat', ['--dereference', '--format=%F', '--', to], options);
  const isThere = seen.code === 0;
  const isDirectory = isThere && seen.stdout.toString().trim() === 'directory';
  const isOneFile = sources.length === 1 && sources[0]!.kind !== 'directory';
  if (isDirectory) return to.endsWith('/') ? to : `${to}/`;
  if (isOneFile && !to.endsWith('/')) return to;
  if (isThere) throw new GranularError('DENIED', `${to} exists and is not a directory`);
  const made = await runProgram('mkdir', ['--parents', '--', to], options);
  if (made.code !== 0) {
    const code = FULL.test(made.stderr) ? 'NO_SPACE' : 'DENIED';
    throw new GranularError(code, `cannot create ${to}: ${lastWords(made.stderr)}`);
  }
  return to.endsWith('/') ? to : `${to}/`;
}

/** The last of `  1048579  99%  500.00MB/s  0:00:00 (xfr#2, to-chk=0/4)`; bytes go with a rounded share. */
function progressOf(text: string): CopyProgress | undefined {
  const last = [...text.matchAll(/(?:^|\r)\s*(\d+)\s+(\d+)%/g)].at(-1);
  if (!last) return undefined;
  const [position, percent] = [Number(last[1]), Number(last[2])];
  const total = percent === 0 ? 0 : Math.round((position * 100) / percent);
  return { position, total };
}

/** The metadata that was lost, by rsync's errors; throws for anything worse. */
export function judge(code: number, stderr: string, to: string): string[] {
  if (code === 0) return [];
  const lines = stderr
    .split('\n')
    .filter((line) => line !== '' && !/^rsync (error|warning):/.test(line))
    .map(printable);
  const failed = lines.filter((line) => !ATTACHED.test(withoutNames(line)));
  const few = failed.slice(0, 5).join('; ');
  const full = failed.find((line) => FULL.test(line));
  if (full !== undefined) throw new GranularError('NO_SPACE', `${to} is full: ${full}`);
  const unread = failed.filter((line) => SOURCE.test(withoutNames(line)));
  if (unread.length > 0) {
    throw new GranularError(
      'UNREADABLE',
      `not all could be read: ${unread.slice(0, 5).join('; ')}`,
    );
  }
  const refused = failed.find((line) => READ_ONLY.test(line));
  if (refused !== undefined && code !== PARTIAL) {
    throw new GranularError('DENIED', `${to} accepts no files: ${refused}`);
  }
  const tooLarge = lines.filter(
    (line) => TOO_LARGE.test(line) && ATTRIBUTE.test(withoutNames(line)),
  );
  if (tooLarge.length > 0) {
    throw new GranularError(
      'INCOMPLETE',
      `everything was copied except attributes (streams of NTFS) that are too large for the file system of ${to}; ` +
        `a tar can hold them (--to - --tar): ${tooLarge.slice(0, 5).join('; ')}`,
    );
  }
  const isAlmost = code === PARTIAL || code === VANISHED;
  if (isAlmost && failed.length === 0) return lines.slice(0, NOTES_MAX);
  if (isAlmost) throw new GranularError('INCOMPLETE', `not all was copied: ${few}`);
  throw new GranularError('FAILED', `rsync, exit code ${code}: ${few || lastWords(stderr)}`);
}

/** A file's name may look like an error message. */
function withoutNames(line: string): string {
  return line.replace(/".*"/, '""');
}

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
