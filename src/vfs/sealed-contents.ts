import { join } from 'node:path/posix';
import type { BlockDevice, Extent } from '../block/block-device.ts';
import { readLayer } from '../block/layer.ts';
import { checkSealedOverlay } from '../block/sealed/check.ts';
import type { SpaceGuard } from '../block/space-guard.ts';
import {
  openSealedOverlay,
  prepareSealedOverlay,
  type SealedOverlayOptions,
} from '../block/sealed/sealed-overlay.ts';
import type { Clock } from '../sys/base/clock.ts';
import type { FileSystem } from '../sys/files/file-system.ts';
import type { Random } from '../sys/base/random.ts';
import { CONTENT_SIZE_MAX, type ContentFiles, contentId, plainPath } from './contents.ts';
import type { Namespace } from './namespace.ts';
import { TreeError } from './tree-error.ts';

/** The seal of a session's tree. */
export interface TreeSeal {
  readonly session: string;
  readonly key: SealedOverlayOptions['key'];
  /** Whether contents and names of the session may lie in plain text, from before it had sealed logs. */
  readonly takesPlain: boolean;
  /** Places in a segment of a file's log; default: PLACES. */
  readonly places?: number;
}

export interface SealedOptions {
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly directory: string;
  readonly space: SpaceGuard;
  readonly seal: TreeSeal;
}

const BLOCK_LENGTH = 4096;
/** Mostly a few KiB are written, occasionally a swap file: segments of 2 MiB, up to half a TiB of them. */
const PLACES = 512;

/**
 * A sealed log (overlay-log.md) `_file-ID` for each node, with the maximum length of a file; the node holds the
 * actual length. Plain text contents of version 1 are only read.
 */
export function sealedContents(options: SealedOptions): ContentFiles {
  const { files, directory, random, seal } = options;
  const { session, key, takesPlain, places = PLACES } = seal;

  async function names(id: number): Promise<string[]> {
    return (await files.list(directory)).filter((name) => contentId(name) === id);
  }
  async function remove(id: number): Promise<void> {
    for (const name of await names(id)) await files.unlink(join(directory, name));
  }
  async function openLog(id: number, size: number) {
    await using stack = new AsyncDisposableStack();
    const disk = logName(id);
    const plain = plainPath(directory, id);
    const isOverPlain = takesPlain && (await files.stat(plain)) !== undefined;
    const base = stack.use(isOverPlain ? await plainBase(files, plain) : nothing());
    if (!(await files.stat(join(directory, `${disk}.head`)))) {
      if (size > 0 && !isOverPlain) {
        const path = join(directory, disk);
        throw new TreeError(
          'CORRUPT',
          `${path}.head is missing: what was written to the file is lost`,
        );
      }
      const { suite } = key;
      const shape = { size: CONTENT_SIZE_MAX, suite, places };
      await prepareSealedOverlay({ files, random, directory, disk, ...shape });
    }
    // A size is recorded only after a write: so there was a segment.
    const begun = size > 0 && !isOverPlain;
    const log = stack.use(await openSealedOverlay({ ...options, disk, session, key, begun }, base));
    const owned = stack.move();
    return { log, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }
  return {
    remove,
    async make(id, contents) {
      await remove(id);
      await using made = await openLog(id, 0);
      await made.log.write(contents, 0, 'durable');
    },
    async open(id, size) {
      const opened = await openLog(id, size);
      const { log } = opened;
      if (log.readOnly !== undefined) {
        await opened[Symbol.asyncDispose]();
        throw new TreeError('CORRUPT', `${join(directory, logName(id))}: ${log.readOnly}`);
      }
      const behind = await log.extents(size, CONTENT_SIZE_MAX - size);
      const stale = behind.findLast(({ kind }) => kind === 'data');
      // It was never acknowledged: if it stayed, it would reappear when the file grows.
      if (stale) await log.zero(size, stale.offset + stale.length - size, 'cached');
      return {
        read: (into, offset) => log.read(into, offset),
        write: (from, offset) => log.write(from, offset, 'cached'),
        resize: (from, to) => log.zero(Math.min(from, to), Math.abs(to - from), 'cached'),
        sync: () => log.flush(),
        [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
      };
    },
  };
}

export interface CheckedSeal extends Omit<TreeSeal, 'key'> {
  /** Undefined: only parts that need no key are checked. */
  readonly key: TreeSeal['key'] | undefined;
}

/** Reports damage in the contents of the nodes in `names`, in words; changes nothing, even while the tree is open. */
export async function checkSealedContents(
  {
    files,
    clock,
    directory,
    seal,
  }: Pick<SealedOptions, 'files' | 'clock' | 'directory'> & { seal: CheckedSeal },
  names: Pick<Namespace, 'nodes' | 'directory'>,
): Promise<string[]> {
  const { key, takesPlain, session } = seal;
  const damage: string[] = [];
  const report = (id: number, found: readonly string[]): void =>
    void damage.push(...found.map((what) => `file "${nameOf(names, id)}": ${what}`));
  for (const { id, kind, size, disk } of names.nodes.values()) {
    if (kind !== 'file' || disk !== undefined) continue;
    const name = logName(id);
    const hasLog = (await files.stat(join(directory, `${name}.head`))) !== undefined;
    if (hasLog) {
      const place = { files, clock, directory, disk: name, session, begun: false };
      report(id, await checkSealedOverlay({ ...place, ...(key && { key }) }, CONTENT_SIZE_MAX));
    } else if (size > 0 && !(takesPlain && (await files.stat(plainPath(directory, id))))) {
      report(id, [
        `${join(directory, name)}.head is missing: what was written to the file is lost`,
      ]);
    }
  }
  return damage;
}

function nameOf({ nodes, directory }: Pick<Namespace, 'nodes' | 'directory'>, id: number): string {
  for (const node of nodes.values()) {
    if (node.kind !== 'directory') continue;
    for (const entry of directory(node.id).values()) if (entry.id === id) return entry.name;
  }
  return logName(id);
}

const logName = (id: number): string => `_file-${id}`;

function nothing(): BlockDevice {
  return readLayer(
    'nothing',
    { size: CONTENT_SIZE_MAX, blockSize: BLOCK_LENGTH },
    {
      tryRead(into) {
        into.fill(0);
        return true;
      },
      async read(into) {
        into.fill(0);
      },
      extents: async (offset, length) => [{ offset, length, kind: 'zero' }],
    },
  );
}

/** A file of version 1, followed by zeros. */
async function plainBase(files: FileSystem, path: string): Promise<BlockDevice> {
  const file = await files.open(path, 'read');
  const size = await file.size();
  return readLayer(
    path,
    { size: CONTENT_SIZE_MAX, blockSize: BLOCK_LENGTH },
    {
      async read(into, offset) {
        into.fill(0, await file.read(into, offset));
      },
      async extents(offset, length) {
        const data = Math.min(length, Math.max(0, size - offset));
        const all: Extent[] = [
          { offset, length: data, kind: 'data' },
          { offset: offset + data, length: length - data, kind: 'zero' },
        ];
        return all.filter((it) => it.length > 0);
      },
      close: async () => file[Symbol.asyncDispose](),
    },
  );
}
