import {
  decodeOverlayHeader,
  decodeOverlayRecord,
  encodeOverlayHeader,
  encodeOverlayRecord,
  OVERLAY_HEADER_LENGTH,
  type OverlayHeader,
  type PageRun,
  RECORD_RUNS_MAX,
} from '../formats/store/overlay-map.ts';
import type { File, FileSystem } from '../sys/file-system.ts';
import { putDurably } from '../sys/put-durably.ts';
import { BlockError } from './block-error.ts';
import { type PageMap, pageMap } from './page-map.ts';

/** Where an overlay's page map is kept: appended to at each flush, rewritten when it grew stale. */
export interface OverlayLog extends AsyncDisposable {
  readonly map: PageMap;
  /** Durable once resolved. Only for pages whose contents are. */
  append(runs: readonly PageRun[]): Promise<void>;
}

/** The log is read in pieces of this; a record is shorter. */
const REPLAY_LENGTH = 2 * 1024 * 1024;
/** Below this a fresh log would gain nothing. */
const REWRITE_ABOVE = 1024 * 1024;
const REWRITE_FACTOR = 4;

export async function createOverlayLog(
  files: FileSystem,
  path: string,
  header: OverlayHeader,
): Promise<OverlayLog> {
  await putDurably(files, path, encodeOverlayHeader(header));
  return openOverlayLog(files, path, header);
}

export async function openOverlayLog(
  files: FileSystem,
  path: string,
  header: OverlayHeader,
): Promise<OverlayLog> {
  const map = pageMap();
  let file = await files.open(path, 'write');
  let end = await replay(file, header, map);
  let rewriteAbove = REWRITE_ABOVE;

  async function rewrite(): Promise<void> {
    const records = [encodeOverlayHeader(header)];
    for (const runs of grouped(map.written())) records.push(encodeOverlayRecord(runs));
    const bytes = Buffer.concat(records);
    await putDurably(files, path, bytes);
    await file[Symbol.asyncDispose]();
    file = await files.open(path, 'write');
    end = bytes.length;
    rewriteAbove = Math.max(REWRITE_ABOVE, end * REWRITE_FACTOR);
  }
  return {
    map,
    async append(runs) {
      for (const group of grouped(runs)) {
        const record = encodeOverlayRecord(group);
        await file.write(record, end);
        end += record.length;
      }
      await file.sync();
      if (end > rewriteAbove) await rewrite();
    },
    [Symbol.asyncDispose]: async () => file[Symbol.asyncDispose](),
  };
}

/** Fills `map`; returns where the last whole record ends. */
async function replay(file: File, header: OverlayHeader, map: PageMap): Promise<number> {
  const size = await file.size();
  const window = new Uint8Array(REPLAY_LENGTH);
  const pages = Math.ceil(header.size / header.pageLength);
  let end = OVERLAY_HEADER_LENGTH;
  const head = window.subarray(0, await file.read(window.subarray(0, end), 0));
  const found = decodeOverlayHeader(head);
  if (found.size !== header.size || found.pageLength !== header.pageLength) {
    throw new BlockError(
      'CORRUPT',
      `${file.path} belongs to a disk of ${found.size} bytes, this one has ${header.size}`,
    );
  }
  while (end < size) {
    const length = await file.read(window, end);
    let at = 0;
    for (;;) {
      const record = decodeOverlayRecord(window.subarray(at, length), pages);
      if (!record) break;
      for (const { first, count, state } of record.runs) map.set(first, count, state);
      at += record.length;
    }
    if (at === 0) break;
    end += at;
  }
  return end;
}

function* grouped(runs: Iterable<PageRun>): Generator<PageRun[]> {
  let group: PageRun[] = [];
  for (const run of runs) {
    group.push(run);
    if (group.length < RECORD_RUNS_MAX) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
