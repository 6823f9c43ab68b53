import { assert } from '../lib/assert.ts';
import type {
  BlockDevice,
  Durability,
  Effort,
  Extent,
  Geometry,
  WritableBlockDevice,
  WriteDone,
} from './block-device.ts';
import { BlockError } from './block-error.ts';

/*
 * All devices are made here. This layer checks ranges and the open state, answers empty requests, emulates what an
 * implementation leaves out, and makes close idempotent and lets it wait. So the layers themselves contain no checks,
 * and each rule exists once.
 */

/** What an implementation provides: ranges are checked, the device is open, no length is zero. */
export interface ReadOps {
  /** Default: nothing can be answered at once. */
  tryRead?(into: Uint8Array, offset: number, effort: Effort): boolean;
  read(into: Uint8Array, offset: number): Promise<void>;
  /** Default: all data. May return neighbors of one kind: they are merged here. */
  extents?(offset: number, length: number): Promise<readonly Extent[]>;
  /** Runs once, after the last request. Closes what the layer opened, never what was lent to it. */
  close?(): Promise<void>;
}

export interface WriteOps extends ReadOps {
  /** Default: nothing is taken at once. */
  tryWrite?(from: Uint8Array, offset: number, done: WriteDone): boolean;
  write(from: Uint8Array, offset: number, durability: Durability): Promise<void>;
  /** Default: zeros are written. */
  zero?(offset: number, length: number, durability: Durability): Promise<void>;
  flush(): Promise<void>;
}

export function readLayer(name: string, geometry: Geometry, ops: ReadOps): BlockDevice {
  return reader(name, geometry, ops, lifecycle(name, geometry, ops));
}

const NOTHING_WRITTEN = Promise.resolve();

export function writeLayer(name: string, geometry: Geometry, ops: WriteOps): WritableBlockDevice {
  const admission = lifecycle(name, geometry, ops);
  const { check, within, enter, leave } = admission;
  return {
    ...reader(name, geometry, ops, admission),
    tryWrite(from, offset, done) {
      check(offset, from.length);
      if (from.length === 0 || !ops.tryWrite) return false;
      const isTaken = ops.tryWrite(from, offset, (failure) => {
        leave();
        done(failure);
      });
      if (isTaken) enter();
      return isTaken;
    },
    write: (from, offset, durability) =>
      from.length === 0
        ? NOTHING_WRITTEN
        : within(offset, from.length, () => ops.write(from, offset, durability)),
    async zero(offset, length, durability) {
      if (length === 0) return;
      await within(offset, length, () =>
        ops.zero
          ? ops.zero(offset, length, durability)
          : writeZeros(ops, offset, length, durability),
      );
    },
    flush: () => within(0, 0, () => ops.flush()),
  };
}

const ZEROS = new Uint8Array(1024 * 1024);

async function writeZeros(
  ops: WriteOps,
  offset: number,
  length: number,
  durability: Durability,
): Promise<void> {
  for (let done = 0; done < length; done += ZEROS.length) {
    const part = ZEROS.subarray(0, Math.min(ZEROS.length, length - done));
    await ops.write(part, offset + done, durability);
  }
}

function reader(name: string, geometry: Geometry, ops: ReadOps, admission: Lifecycle): BlockDevice {
  const { check, within, close } = admission;
  return {
    name,
    geometry,
    tryRead(into, offset, effort = 'memory') {
      check(offset, into.length);
      return into.length === 0 || (ops.tryRead?.(into, offset, effort) ?? false);
    },
    async read(into, offset) {
      if (into.length === 0) return;
      await within(offset, into.length, () => ops.read(into, offset));
    },
    async extents(offset, length) {
      if (length === 0) return [];
      const found = await within(offset, length, async () => ops.extents?.(offset, length));
      return found ? merged(found) : [{ offset, length, kind: 'data' }];
    },
    [Symbol.asyncDispose]: close,
  };
}

interface Lifecycle {
  check(offset: number, length: number): void;
  /** Notes that a request is under way, until `leave`. */
  enter(): void;
  leave(): void;
  within<T>(offset: number, length: number, work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

function lifecycle(name: string, { size, blockSize }: Geometry, ops: ReadOps): Lifecycle {
  assert(Number.isSafeInteger(size) && size >= 0, `${name}: size ${size}`);
  assert(blockSize >= 512 && Number.isInteger(Math.log2(blockSize)), `${name}: ${blockSize}`);
  let running = 0;
  let closing: Promise<void> | undefined;
  let idle: (() => void) | undefined;

  function check(offset: number, length: number): void {
    if (closing) throw new BlockError('CLOSED', `${name} is closed`);
    if (!Number.isSafeInteger(offset) || offset < 0 || length < 0 || length > size - offset) {
      throw new BlockError('OUT_OF_RANGE', `${name}: ${offset}+${length} of ${size}`);
    }
  }
  function enter(): void {
    running++;
  }
  function leave(): void {
    running--;
    if (running === 0) idle?.();
  }
  async function closeOnceIdle(): Promise<void> {
    if (running > 0) await new Promise<void>((resolve) => (idle = resolve));
    await ops.close?.();
  }
  return {
    check,
    enter,
    leave,
    async within(offset, length, work) {
      check(offset, length);
      enter();
      try {
        return await work();
      } finally {
        leave();
      }
    },
    close: () => (closing ??= closeOnceIdle()),
  };
}

function merged(extents: readonly Extent[]): readonly Extent[] {
  const result: Extent[] = [];
  for (const extent of extents) {
    const last = result.at(-1);
    if (last?.kind === extent.kind) {
      result[result.length - 1] = { ...last, length: last.length + extent.length };
    } else {
      result.push(extent);
    }
  }
  return result;
}
