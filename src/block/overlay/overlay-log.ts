import { FormatError } from '../../formats/format-error.ts';
import {
  decodeOverlayHeader,
  decodeOverlayRecord,
  encodeOverlayHeader,
  encodeOverlayRecord,
  OVERLAY_HEADER_LENGTH,
  type OverlayHeader,
  overlayRecords,
  type PageRun,
  RECORD_RUNS_MAX,
} from '../../formats/store/sessions/overlay-map.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import {
  openRecordLog,
  type Replay,
  replayAll,
  type ReplayOptions,
} from '../../sys/files/record-log.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { BlockError } from '../block-error.ts';
import { type PageMap, pageMap } from './page-map.ts';

/** The log of an overlay's page map: appended to at each flush, rewritten when most of it is stale. */
export interface OverlayLog extends AsyncDisposable {
  readonly map: PageMap;
  /** Durable once resolved. Only for pages whose contents are durable already. */
  append(runs: readonly PageRun[]): Promise<void>;
}

export async function createOverlayLog(
  files: FileSystem,
  path: string,
  header: OverlayHeader,
): Promise<OverlayLog> {
  await putDurably(files, path, encodeOverlayHeader(header));
  return openOverlayLog(files, path, header);
}

/** Rejects BlockError CORRUPT. */
export async function openOverlayLog(
  files: FileSystem,
  path: string,
  header: OverlayHeader,
): Promise<OverlayLog> {
  const map = pageMap();
  return worldly(path, async () => {
    const log = await openRecordLog(files, path, {
      ...replayOptions(path, header, map),
      async whole(again) {
        // The map as the log has it: `map` also has pages written since, whose contents may be lost.
        const logged = pageMap();
        await again(replayTo(logged, header));
        return [encodeOverlayHeader(header), ...recordsOf(logged.written())];
      },
    });
    return { ...log, map, append: (runs) => log.append(recordsOf(runs)) };
  });
}

/** Reads all of the log without changing it, even while a writer appends to it. Rejects BlockError CORRUPT. */
export async function checkOverlayLog(
  files: FileSystem,
  path: string,
  header: OverlayHeader,
): Promise<void> {
  await using file = await files.open(path, 'read');
  await worldly(path, () => replayAll(file, replayOptions(path, header, pageMap())));
}

function replayOptions(path: string, header: OverlayHeader, map: PageMap): ReplayOptions {
  return {
    headerLength: OVERLAY_HEADER_LENGTH,
    records: overlayRecords,
    checkHeader(bytes) {
      const found = decodeOverlayHeader(bytes);
      if (found.size === header.size && found.pageLength === header.pageLength) return;
      throw new BlockError(
        'CORRUPT',
        `${path} belongs to a disk of ${found.size} bytes, this one has ${header.size}`,
      );
    },
    replay: replayTo(map, header),
  };
}

function replayTo(map: PageMap, { size, pageLength }: OverlayHeader): Replay {
  const pages = Math.ceil(size / pageLength);
  return (bytes) => {
    const record = decodeOverlayRecord(bytes, pages);
    if (!record) return undefined;
    for (const { first, count, state } of record.runs) map.set(first, count, state);
    return record.length;
  };
}

async function worldly<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof SystemError && cause.code === 'CORRUPT') {
      throw new BlockError('CORRUPT', cause.message, { cause });
    }
    if (!(cause instanceof FormatError)) throw cause;
    throw new BlockError('CORRUPT', `${path}: ${cause.message}`, { cause });
  }
}

function* recordsOf(runs: Iterable<PageRun>): Generator<Uint8Array> {
  let group: PageRun[] = [];
  for (const run of cut(runs)) {
    group.push(run);
    if (group.length < RECORD_RUNS_MAX) continue;
    yield encodeOverlayRecord(group);
    group = [];
  }
  if (group.length > 0) yield encodeOverlayRecord(group);
}

/** A record counts the pages of a run in 32 bits. */
const RUN_PAGES_MAX = 2 ** 32 - 1;

function* cut(runs: Iterable<PageRun>): Generator<PageRun> {
  for (const { first, count, state } of runs) {
    for (let done = 0; done < count; done += RUN_PAGES_MAX) {
      yield { first: first + done, count: Math.min(RUN_PAGES_MAX, count - done), state };
    }
  }
}
