import { COMMAND_FLAGS, COMMANDS, STATES, TRANSMISSION_FLAGS } from '../../formats/wire/nbd.ts';
import { allDone } from '../../lib/all-done.ts';
import { GiB, MiB } from '../../lib/sizes.ts';
import { connect } from '../../sys/net/network.ts';
import type { Extent, WritableBlockDevice } from '../block-device.ts';
import { BlockError } from '../block-error.ts';
import { writeLayer, type WriteOps } from '../layer.ts';
import { type NbdRequests, nbdRequests } from './nbd-requests.ts';
import { chooseExport, type RemoteExport } from './nbd-handshake.ts';
import { parseNbdUri } from './nbd-uri.ts';

/** A disk that an NBD server exports. Writes to a read-only one reject READ_ONLY. */
export interface NbdDisk extends WritableBlockDevice {
  readonly readOnly: boolean;
  /** The server has gone, or violated the protocol: no request will be answered from now on. */
  readonly isGone: boolean;
}

/** The length of one request: enough for speed, and small enough for slow servers. */
const REQUEST_LENGTH_MAX = 2 * MiB;
const ZERO_LENGTH_MAX = GiB;
const STATUS_LENGTH_MAX = 2 * GiB;
/** The most extents in one answer, give or take one block status: 1 GiB that alternates every 4 KiB. */
const EXTENTS_MAX = 256 * 1024;

/** The time that a server may need to spin up its disks. */
const SILENCE_MS = 120_000;

/**
 * Rejects SystemError (UNREACHABLE, NOT_FOUND) or BlockError, naming what the server refused. A server that owes an
 * answer and is silent for `silenceMs` counts as gone.
 */
export async function openNbdDisk(uri: string, silenceMs = SILENCE_MS): Promise<NbdDisk> {
  const { address, name } = parseNbdUri(uri);
  const stream = await connect(address);
  stream.limitSilence(silenceMs);
  try {
    const { export: remote, rest } = await chooseExport(stream, name);
    const requests = nbdRequests(stream, rest, silenceMs);
    const { size, blockSize } = remote;
    const device = writeLayer(uri, { size, blockSize }, opsOf(requests, remote));
    return {
      ...device,
      readOnly: has(remote, 'readOnly'),
      get isGone() {
        return requests.isGone;
      },
    };
  } catch (cause) {
    stream.destroy();
    throw cause;
  }
}

function has({ flags }: RemoteExport, flag: keyof typeof TRANSMISSION_FLAGS): boolean {
  return (flags & TRANSMISSION_FLAGS[flag]) !== 0;
}

function opsOf(requests: NbdRequests, remote: RemoteExport): WriteOps {
  const lengthMax = Math.min(REQUEST_LENGTH_MAX, remote.payloadMax);
  const fua = has(remote, 'sendFua') ? COMMAND_FLAGS.fua : 0;

  async function flush(): Promise<void> {
    if (!has(remote, 'sendFlush')) return;
    await requests.send({ command: COMMANDS.flush, flags: 0, offset: 0, length: 0 });
  }
  async function made(durable: boolean): Promise<void> {
    if (durable && fua === 0) await flush();
  }
  function refuseReadOnly(): void {
    if (has(remote, 'readOnly')) throw new BlockError('READ_ONLY', 'the export is read-only');
  }
  const ops: WriteOps = {
    async read(into, offset) {
      await inPieces(offset, into.length, lengthMax, (at, length) => {
        const part = into.subarray(at - offset, at - offset + length);
        const request = { command: COMMANDS.read, flags: 0, offset: at, length };
        return requests.read(request, part);
      });
    },
    async write(from, offset, durability) {
      refuseReadOnly();
      const durable = durability === 'durable';
      await inPieces(offset, from.length, lengthMax, (at, length) => {
        const flags = durable ? fua : 0;
        const part = from.subarray(at - offset, at - offset + length);
        return requests.send({ command: COMMANDS.write, flags, offset: at, length }, part);
      });
      await made(durable);
    },
    flush,
    async close() {
      requests.end();
    },
  };
  if (has(remote, 'sendWriteZeroes')) {
    ops.zero = async (offset, length, durability) => {
      refuseReadOnly();
      const durable = durability === 'durable';
      await inPieces(offset, length, ZERO_LENGTH_MAX, (at, count) => {
        const flags = durable ? fua : 0;
        return requests.send({ command: COMMANDS.writeZeroes, flags, offset: at, length: count });
      });
      await made(durable);
    };
  }
  if (remote.allocation) ops.extents = (offset, length) => extentsOf(requests, offset, length);
  return ops;
}

async function inPieces(
  offset: number,
  length: number,
  lengthMax: number,
  work: (at: number, length: number) => Promise<void>,
): Promise<void> {
  if (length <= lengthMax) return work(offset, length);
  const pieces: Promise<void>[] = [];
  for (let at = offset; at < offset + length; at += lengthMax) {
    pieces.push(work(at, Math.min(lengthMax, offset + length - at)));
  }
  await allDone(pieces);
}

/** A server may answer for less than the requested range, so this asks again for the rest. */
async function extentsOf(requests: NbdRequests, offset: number, length: number): Promise<Extent[]> {
  const found: Extent[] = [];
  const end = offset + length;
  for (let at = offset; at < end; ) {
    // Treating the rest as data is always right, and bounds the memory that a peer's pieces take.
    if (found.length >= EXTENTS_MAX)
      return [...found, { offset: at, length: end - at, kind: 'data' }];
    const count = Math.min(STATUS_LENGTH_MAX, end - at);
    const request = { command: COMMANDS.blockStatus, flags: 0, offset: at, length: count };
    const next = addStates(found, await requests.status(request), { at, end });
    if (next === at) throw new BlockError('IO', 'the NBD server returned an empty block status');
    at = next;
  }
  return found;
}

/** Appends the extents of a block status for `at..end`, merging neighbors of one kind, and returns where they end. */
function addStates(
  found: Extent[],
  payload: Uint8Array,
  { at, end }: { readonly at: number; readonly end: number },
): number {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  let offset = at;
  for (let entry = 4; entry + 8 <= payload.length && offset < end; entry += 8) {
    const length = Math.min(view.getUint32(entry), end - offset);
    if (length === 0) continue;
    const kind = (view.getUint32(entry + 4) & STATES.zero) === 0 ? 'data' : 'zero';
    const last = found.at(-1);
    if (last?.kind === kind) {
      found[found.length - 1] = { ...last, length: last.length + length };
    } else {
      found.push({ offset, length, kind });
    }
    offset += length;
  }
  return offset;
}
