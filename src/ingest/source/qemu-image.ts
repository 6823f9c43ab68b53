import { type QemuNbd, startQemuNbd } from '../../block/nbd-client/qemu-nbd.ts';
import { printable } from '../../lib/printable.ts';
import { run, runOrFail } from '../../sys/process/run.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { ImageFormat } from './image-format.ts';
import { IngestError } from './ingest-error.ts';

/*
 * Disk images of other products, through qemu's own code: qemu-img examines them, qemu-nbd serves them on a socket
 * that only this process can reach. Images are untrusted; their format is always given, never guessed by qemu, and
 * they are kept separate from the files that they may name.
 */

/** Rejects BAD_IMAGE. */
export async function serveImage(
  clock: Clock,
  path: string,
  { format, access, isDevice = false }: ServeOptions,
): Promise<QemuNbd> {
  const words = [
    ...(access === 'read' ? ['--read-only'] : ['--discard=unmap']),
    ...imageWords(path, { format, isDevice }),
  ];
  try {
    return await startQemuNbd(clock, words);
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'FAILED') throw cause;
    throw new IngestError('BAD_IMAGE', `${path} cannot be opened: ${cause.message}`, { cause });
  }
}

interface ServeOptions {
  readonly format: ImageFormat;
  readonly access: 'read' | 'write';
  /** Whether a block device holds the image. */
  readonly isDevice?: boolean;
}

function imageWords(
  path: string,
  { format, isDevice }: { readonly format: ImageFormat; readonly isDevice: boolean },
): string[] {
  if (format !== 'vpc') return ['--format', format, '--', path];
  // By default qemu takes the size of a VHD from cylinders and heads, unless it knows the program that made it.
  const file = `file.driver=${isDevice ? 'host_device' : 'file'}`;
  const name = `file.filename=${path.replaceAll(',', ',,')}`;
  return ['--image-opts', '--', `driver=vpc,force_size_calc=current_size,${file},${name}`];
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

/**
 * The time to read an image's header, and to open its chain; an image that takes longer waits for another program.
 */
const PROBE_MS = 20_000;
/** The time to walk all of an image's tables. */
const TOOL_MS = 600_000;
/** A split VMDK has a file for every 2 GB: a message names only the first. */
const NAMED_MAX = 3;

/**
 * Finds what qemu itself sees in an image that was examined before (image-look.ts): damage, and other files that it
 * would open. Rejects BAD_IMAGE, REFUSED.
 */
export async function examineImage(
  path: string,
  { format, isSaid }: { readonly format: ImageFormat; readonly isSaid: boolean },
): Promise<void> {
  const target = ['-f', format, '--', path];
  const info = JSON.parse(
    await toolOutput(path, ['info', '--output=json', ...target]),
  ) as ImageInfo;
  const data = info['format-specific']?.data;
  if (data?.corrupt === true) throw new IngestError('BAD_IMAGE', `${path} is marked as corrupt`);
  const isOther = (it: string | undefined): it is string => it !== undefined && it !== path;
  const parts = (data?.extents ?? []).map(({ filename }) => filename);
  const named = [info['backing-filename'], data?.['data-file'], ...parts].filter(isOther);
  if (named.length > 0 && !isSaid) {
    const others = printable(named.slice(0, NAMED_MAX).join(', '));
    throw new IngestError('REFUSED', `${path} refers to ${others}, which its header hides`);
  }
  if (info['backing-filename'] !== undefined) {
    await toolOutput(path, ['info', '--output=json', '--backing-chain', ...target]);
  }
  await checkImage(path, format);
}

/** Formats that qemu-img can check; for vpc it detects no damage. */
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

/** Creates an image in an existing file, whose permissions stay: qemu would make a new one readable for all users. */
export async function createImage(
  path: string,
  { format, size }: { readonly format: ImageFormat; readonly size: number },
): Promise<void> {
  // Otherwise VHD rounds the size to whole cylinders and heads.
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
  const stop = AbortSignal.timeout(PROBE_MS);
  try {
    const { code, stdout, stderr } = await run('qemu-img', args, { signal: stop });
    if (code === 0) return stdout;
    throw new IngestError('BAD_IMAGE', `${path} cannot be opened: ${lastLine(stderr)}`);
  } catch (cause) {
    if (!stop.aborted) throw cause;
    const seconds = PROBE_MS / 1000;
    throw new IngestError(
      'BAD_IMAGE',
      `${path} was not open after ${seconds} seconds: does it refer to something that does not answer?`,
      { cause },
    );
  }
}

function firstLine(text: string): string {
  return printable(text.trim().split('\n', 1)[0]!.slice(0, 500));
}

function lastLine(text: string): string {
  return printable(text.trim().split('\n').at(-1)!.slice(0, 500));
}
