import { FormatError } from '../formats/format-error.ts';
import {
  checkFrame,
  type DomainKeys,
  FRAME_LENGTH_MAX,
  frameCodec,
  PLAIN_LENGTH_MAX,
} from '../formats/store/frame.ts';
import { type Node, type Reference, rootLevel } from '../formats/store/node.ts';
import { BlockError } from '../block/block-error.ts';
import { SystemError } from '../sys/system-error.ts';
import { digestKey } from '../formats/store/digest.ts';
import type { DiskRoot } from './disk-root.ts';
import { type NodeReader, nodeReader } from './node-reader.ts';
import type { PackFiles, PackFooter } from './pack-files.ts';
import { locationKey } from './block-reader.ts';
import { StoreError } from './store-error.ts';

/** Something that is not as it should be; `where` is a file, or a disk of a recovery point. */
export interface Problem {
  readonly where: string;
  readonly what: string;
}

export interface PackCheckOptions {
  /** Every frame is read and checked, not only headers and footers. */
  readonly readData: boolean;
  /** Keys of a pack's domain: with them contents are authenticated; without, checksums must do. */
  readonly keysOf: (domain: Uint8Array) => DomainKeys | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (done: number, total: number, bytes: number) => void;
  readonly onProblem: (problem: Problem) => void;
}

export interface PackCheck {
  readonly packs: number;
  readonly frames: number;
  readonly bytes: number;
}

/** Goes through all packs in their order. */
export async function checkPacks(
  packs: PackFiles,
  { readData, keysOf, signal, onProgress, onProblem }: PackCheckOptions,
): Promise<PackCheck> {
  const numbers = await packs.list();
  let frames = 0;
  let bytes = 0;
  for (const [done, pack] of numbers.entries()) {
    signal?.throwIfAborted();
    const where = packs.path(pack);
    try {
      const footer = await packs.footer(pack);
      if (footer.header.number !== pack) {
        onProblem({ where, what: `says that it is pack ${footer.header.number}` });
      }
      frames += footer.entries.length;
      bytes += footer.size;
      if (readData) await checkFrames(packs, pack, { footer, keysOf, onProblem });
    } catch (cause) {
      onProblem({ where, what: reason(cause) });
    }
    onProgress(done + 1, numbers.length, bytes);
  }
  return { packs: numbers.length, frames, bytes };
}

async function checkFrames(
  packs: PackFiles,
  pack: number,
  {
    footer,
    keysOf,
    onProblem,
  }: Pick<PackCheckOptions, 'keysOf' | 'onProblem'> & { readonly footer: PackFooter },
): Promise<void> {
  const keys = keysOf(footer.header.domain);
  const codec = keys && frameCodec(keys);
  const memory = new Uint8Array(FRAME_LENGTH_MAX);
  const plain = new Uint8Array(PLAIN_LENGTH_MAX);
  for (const { digest, offset, length } of footer.entries) {
    try {
      if (length > FRAME_LENGTH_MAX) throw new FormatError('CORRUPT', `frame of ${length} bytes`);
      const frame = memory.subarray(0, length);
      await packs.read(frame, pack, offset);
      const header = checkFrame(frame);
      if (digestKey(header.digest) !== digestKey(digest)) {
        throw new FormatError('CORRUPT', 'frame of another digest than the footer says');
      }
      codec?.open(frame, plain.subarray(0, header.plainLength), digest);
    } catch (cause) {
      onProblem({ where: packs.path(pack), what: `at ${offset}: ${reason(cause)}` });
    }
  }
}

/** Checks manifests; what several of them share is looked at once. */
export interface ManifestChecker {
  check(disk: DiskRoot, where: string): Promise<void>;
}

export function manifestChecker(
  packs: PackFiles,
  keys: DomainKeys,
  onProblem: (problem: Problem) => void,
): ManifestChecker {
  const nodes = nodeReader(packs, frameCodec(keys));
  const seen = new Set<number>();
  const holds = blockFinder(packs);

  async function walk(reference: Reference, level: number, where: string): Promise<void> {
    const key = locationKey(reference);
    if (seen.has(key)) return;
    seen.add(key);
    const node = await open(nodes, reference, level, where);
    for (const entry of node?.entries ?? []) {
      if (level > 0) await walk(entry, level - 1, where);
      else if (!(await holds(entry))) {
        const name = Buffer.from(entry.digest).toString('hex').slice(0, 16);
        onProblem({ where, what: `block ${name} of pack ${entry.pack} is missing` });
      }
    }
  }
  async function open(
    reader: NodeReader,
    reference: Reference,
    level: number,
    where: string,
  ): Promise<Node | undefined> {
    try {
      const node = await reader.node(reference);
      if (node.level === level) return node;
      onProblem({ where, what: `a manifest node of level ${node.level} stands for ${level}` });
    } catch (cause) {
      onProblem({ where, what: reason(cause) });
    }
    return undefined;
  }
  return {
    async check({ size, reference }, where) {
      if (reference) await walk(reference, rootLevel(size), where);
    },
  };
}

/** Footers kept: manifests name packs in their order, mostly. */
const FOOTERS_MAX = 64;

/** Whether a block is where its leaf says, or elsewhere. */
function blockFinder(packs: PackFiles): (reference: Reference) => Promise<boolean> {
  const footers = new Map<number, Map<number, string>>();

  async function offsetsOf(pack: number): Promise<Map<number, string>> {
    const known = footers.get(pack);
    if (known) return known;
    const footer = await packs.footer(pack).catch(() => undefined);
    const made = new Map(footer?.entries.map(({ offset, digest }) => [offset, digestKey(digest)]));
    footers.set(pack, made);
    const [oldest] = footers.keys();
    if (footers.size > FOOTERS_MAX) footers.delete(oldest!);
    return made;
  }
  return async ({ digest, pack, offset }) => {
    if ((await offsetsOf(pack)).get(offset) === digestKey(digest)) return true;
    return (await packs.locate(digest).catch(() => undefined)) !== undefined;
  };
}

/** What bad data and bad media say; anything else is our own fault, and thrown. */
function reason(cause: unknown): string {
  const known = [FormatError, StoreError, BlockError, SystemError];
  if (known.some((kind) => cause instanceof kind)) return (cause as Error).message;
  throw cause;
}
