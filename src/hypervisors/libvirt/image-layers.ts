import { run } from '../../sys/process/run.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { printable } from '../../lib/printable.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';

/*
 * An image may have layers. An external snapshot puts a new one on top, in which libvirt lets a bitmap of each name go
 * on: what has changed since a checkpoint is what the bitmaps of its name in all layers count together. A program that
 * puts a layer on top without one leaves changes that nothing counts, while qemu-nbd would take the bitmap below.
 */

/** A layer that counts, for qemu-nbd to open. */
export interface ImageLayer {
  readonly path: string;
  readonly format: string;
}

/** What `qemu-img info` says of each layer, top first; as far as it is used here. */
interface LayerInfo {
  readonly filename: string;
  readonly format: string;
  readonly 'format-specific'?: {
    readonly data?: { readonly bitmaps?: readonly { readonly name: string }[] };
  };
}

/** The time to open all headers of a chain. */
const INFO_MS = 20_000;
const REASON_MAX = 500;

/**
 * The layers, top first, whose bitmaps of that name count together what has changed. Rejects HypervisorError LOST if
 * there is none, or if one on top of them counts nothing; FAILED.
 */
export async function countingLayers(
  path: string,
  { format, bitmap }: { readonly format: string; readonly bitmap: string },
): Promise<readonly ImageLayer[]> {
  const layers = await layersOf(path, format);
  const counts = layers.map((it) =>
    (it['format-specific']?.data?.bitmaps ?? []).some(({ name }) => name === bitmap),
  );
  const last = counts.lastIndexOf(true);
  const missing = counts.indexOf(false);
  if (last === -1) {
    throw new HypervisorError('LOST', `${path} has no bitmap ${bitmap}`);
  }
  if (missing !== -1 && missing < last) {
    const where = printable(layers[missing]!.filename);
    throw new HypervisorError(
      'LOST',
      `another program than libvirt has put ${where} on top of the image whose bitmap ${bitmap} counts`,
    );
  }
  return layers.slice(0, last + 1).map((it) => ({ path: it.filename, format: it.format }));
}

async function layersOf(path: string, format: string): Promise<readonly LayerInfo[]> {
  const words = ['info', '--backing-chain', '--output=json', '-f', format, '--', path];
  try {
    const { code, stdout, stderr } = await run('qemu-img', words, { timeoutMs: INFO_MS });
    if (code === 0) return JSON.parse(stdout) as readonly LayerInfo[];
    const reason = printable(stderr.trim().split('\n').at(-1)!.slice(0, REASON_MAX));
    throw new HypervisorError('FAILED', `${path} cannot be read: ${reason}`);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    throw new HypervisorError('FAILED', `${path} cannot be read: ${cause.message}`, { cause });
  }
}
