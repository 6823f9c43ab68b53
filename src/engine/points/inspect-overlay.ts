import { join } from 'node:path/posix';
import { decodeHeadFile, HEAD_FILE_LENGTH } from '../../formats/store/sessions/overlay-head.ts';
import {
  decodePreface,
  type OverlayHead,
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_LENGTH,
  QUAD_PLACES,
  readTrailer,
} from '../../formats/store/sessions/overlay-log.ts';
import {
  decodeOverlayHeader,
  decodeOverlayRecord,
  OVERLAY_HEADER_LENGTH,
} from '../../formats/store/sessions/overlay-map.ts';
import {
  decodeRecentHeader,
  RECENT_HEADER_LENGTH,
} from '../../formats/store/sessions/overlay-recent.ts';
import { sessionDirectory } from '../../sessions/state/session-files.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import type { Engine } from '../base/engine.ts';
import { formatted } from './inspect.ts';

/* `store cat overlay`: the parts of a session's overlay on the disk that can be seen without a key. */

/** The sealed overlay, if there is one; then the one of version 1 below it, if there is one. */
export async function* catOverlay(
  { store }: Engine,
  { session, disk }: { readonly session: string; readonly disk: string },
): AsyncGenerator<object> {
  const { files } = store;
  const directory = sessionDirectory(store, session);
  const isSealed = (await files.stat(join(directory, `${disk}.head`))) !== undefined;
  if (isSealed) yield* catSealed(files, directory, disk);
  const path = join(directory, disk);
  if (!isSealed || (await files.stat(`${path}.map`))) yield* catPlain(files, path);
}

/** Its head, then for each segment its preface and one line for each slot. */
async function* catSealed(
  files: FileSystem,
  directory: string,
  disk: string,
): AsyncGenerator<object> {
  const bytes = await files.readFile(join(directory, `${disk}.head`), 2 * HEAD_FILE_LENGTH);
  const head = await formatted(async () => decodeHeadFile(bytes).head);
  yield head;
  const names = (await files.list(directory)).filter((name) => name.startsWith(`${disk}.`));
  for (const name of names.filter((it) => it.endsWith('.seg'))) {
    yield* catSegment(files, join(directory, name), head);
  }
}

async function* catSegment(
  files: FileSystem,
  path: string,
  { places }: OverlayHead,
): AsyncGenerator<object> {
  await using file = await files.open(path, 'read');
  const bytes = new Uint8Array(QUAD_PLACES * PLACE_LENGTH);
  await file.read(bytes, 0);
  const { salt, number: segment } = await formatted(async () => decodePreface(bytes));
  yield { segment, salt: salt.slice() };
  for (let place = 1; place < places - 1; ) {
    bytes.fill(0);
    if ((await file.read(bytes, place * PLACE_LENGTH)) === 0) return;
    const single = readTrailer(bytes, PAGE_LENGTH);
    const slot = single ?? readTrailer(bytes, QUAD_LENGTH);
    if (slot) yield { segment, place, ...slot };
    place += slot?.n ?? 1;
  }
}

const MAP_LENGTH_MAX = 1024 * 1024 * 1024;

/**
 * An overlay's map: its header, then one line for each record of its log; then the same for writes since the last
 * flush, if it is open or its process was killed.
 */
async function* catPlain(files: FileSystem, path: string): AsyncGenerator<object> {
  const bytes = await files.readFile(`${path}.map`, MAP_LENGTH_MAX);
  const header = await formatted(async () => decodeOverlayHeader(bytes));
  yield header;
  const pages = Math.ceil(header.size / header.pageLength);
  yield* overlayRecords(bytes, { start: OVERLAY_HEADER_LENGTH, pages });
  for (const recent of [0, 1]) {
    const file = `${path}.recent-${recent}`;
    if (!((await files.stat(file))?.size ?? 0)) continue;
    const bytes = await files.readFile(file, MAP_LENGTH_MAX);
    yield { recent, ...(await formatted(async () => decodeRecentHeader(bytes))) };
    yield* overlayRecords(bytes, { start: RECENT_HEADER_LENGTH, pages });
  }
}

async function* overlayRecords(
  bytes: Uint8Array,
  { start, pages }: { readonly start: number; readonly pages: number },
): AsyncGenerator<object> {
  for (let at = start; at < bytes.length; ) {
    const record = await formatted(async () => decodeOverlayRecord(bytes.subarray(at), pages));
    if (!record) return;
    yield { at, runs: record.runs };
    at += record.length;
  }
}
