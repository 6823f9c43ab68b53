import { dirname, join } from 'node:path/posix';
import { openNbdDisk, type NbdDisk } from '../block/nbd-disk.ts';
import { privateDirectory } from '../sys/private-directory.ts';
import { run, runOrFail, start } from '../sys/processes.ts';
import { SystemError } from '../sys/system-error.ts';
import type { Clock } from '../sys/clock.ts';
import type { ImageFormat } from './image-format.ts';
import { IngestError } from './ingest-error.ts';

/*
 * Disk images of other products, through qemu's own code: qemu-img looks at them, qemu-nbd serves them on
 * a socket that only we can reach. Images are untrusted; their format is always said, never guessed by
 * qemu, and they are told apart from the files that they may name.
 */

/** `lent` from a program of ours; closing it ends the program. */
export interface ServedImage extends AsyncDisposable {
  readonly disk: NbdDisk;
  /** Of that program. */
  readonly pid: number;
}

const START_MS = 15_000;
const POLL_MS = 10;

export async function serveImage(
  clock: Clock,
  path: string,
  { format, access }: { readonly format: ImageFormat; readonly access: 'read' | 'write' },
): Promise<ServedImage> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await privateDirectory());
  const socket = join(directory.path, 'image.sock');
  const program = stack.use(
    await start(
      'qemu-nbd',
      [
        ...['--socket', socket, '--format', format, '--export-name', 'disk', '--persistent'],
        ...(access === 'read' ? ['--read-only'] : ['--discard=unmap']),
        ...['--cache=writeback', '--', path],
      ],
      { output: 'capture' },
    ),
  );
  let ended = false;
  const watched = program.exited.then(({ stderr }) => {
    ended = true;
    return stderr;
  });
  const disk = await connected(clock, `nbd+unix:///disk?socket=${socket}`, () => ended);
  if (!disk)
    throw new IngestError('BAD_IMAGE', `${path} cannot be opened: ${lastLine(await watched)}`);
  stack.use(disk);
  const owned = stack.move();
  return { disk, pid: program.pid, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function connected(
  clock: Clock,
  uri: string,
  ended: () => boolean,
): Promise<NbdDisk | undefined> {
  for (let waited = 0; !ended(); waited += POLL_MS) {
    try {
      return await openNbdDisk(uri);
    } catch (cause) {
      if (waited > START_MS || !(cause instanceof SystemError)) throw cause;
      await clock.sleep(POLL_MS);
    }
  }
  return undefined;
}

interface ImageInfo {
  readonly 'virtual-size': number;
  readonly 'backing-filename'?: string;
  readonly 'format-specific'?: {
    readonly data?: {
      readonly 'data-file'?: string;
      readonly corrupt?: boolean;
      readonly extents?: readonly { readonly filename?: string }[];
    };
  };
}

const TOOL_MS = 600_000;
/** A split VMDK has a file for every 2 GB: a message tells the first. */
const NAMED_MAX = 3;

/**
 * Refuses what is corrupt, truncated, or would make us read other files: any at all where the format was
 * only detected (beside a guest's disk lie those of other guests), else parts outside of its own directory.
 */
export async function examineImage(
  path: string,
  { format, isSaid }: { readonly format: ImageFormat; readonly isSaid: boolean },
): Promise<void> {
  const target = ['-f', format, '--', path];
  const text = await toolOutput(path, ['info', '--output=json', ...target]);
  const info = JSON.parse(text) as ImageInfo;
  const data = info['format-specific']?.data;
  if (data?.corrupt === true) throw new IngestError('BAD_IMAGE', `${path} is marked as corrupt`);
  const isOther = (it: string | undefined): it is string => it !== undefined && it !== path;
  const parts = (data?.extents ?? []).map(({ filename }) => filename).filter(isOther);
  const named = [info['backing-filename'], data?.['data-file'], ...parts].filter(isOther);
  if (named.length > 0 && !isSaid) {
    const others = named.slice(0, NAMED_MAX).join(', ');
    throw new IngestError(
      'REFUSED',
      `${path} looks like ${format} and refers to ${others}. A guest can make a raw disk look so: ` +
        `give --format ${format} if it is that, or --format raw`,
    );
  }
  const home = dirname(path);
  const foreign = parts.find(
    (part) => dirname(join(home, part)) !== home && dirname(part) !== home,
  );
  if (foreign !== undefined) {
    throw new IngestError('REFUSED', `${path} refers to ${foreign}, outside of its own directory`);
  }
  await checkImage(path, format);
}

/** Formats that qemu-img can check; of vpc it cannot tell damage. */
const CHECKED: ReadonlySet<ImageFormat> = new Set(['qcow2', 'vdi', 'vhdx', 'vmdk']);
/** "Check completed, image has leaked clusters, but is not corrupted". */
const LEAKS_ONLY = 3;
/** "Checks are not supported by the image format": of a kind of vmdk, for example. */
const NOT_SUPPORTED = 63;

async function checkImage(path: string, format: ImageFormat): Promise<void> {
  if (!CHECKED.has(format)) return;
  const args = ['check', '-f', format, '--', path];
  const { code, stderr, stdout } = await run('qemu-img', args, { timeoutMs: TOOL_MS });
  if (code === 0 || code === LEAKS_ONLY || code === NOT_SUPPORTED) return;
  const reason = firstLine(stderr) || firstLine(stdout);
  throw new IngestError('BAD_IMAGE', `${path} is damaged or truncated: ${reason}`);
}

export async function createImage(
  path: string,
  { format, size }: { readonly format: ImageFormat; readonly size: number },
): Promise<void> {
  // Else VHD rounds the size to what cylinders and heads can say.
  const options = format === 'vpc' ? ['-o', 'force_size=on'] : [];
  await runOrFail(
    'qemu-img',
    ['create', '-q', '-f', format, ...options, '--', path, String(size)],
    {
      timeoutMs: TOOL_MS,
    },
  );
}

async function toolOutput(path: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run('qemu-img', args, { timeoutMs: TOOL_MS });
  if (code === 0) return stdout;
  throw new IngestError('BAD_IMAGE', `${path} cannot be opened: ${lastLine(stderr)}`);
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0]!.slice(0, 500);
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)!.slice(0, 500);
}
