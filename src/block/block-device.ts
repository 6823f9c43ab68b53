/**
 * A disk's bytes. Read-only and writable are different types, so that what lies on a base cannot
 * write it. Devices are made by `layer.ts`, which does every check once.
 */
export interface BlockDevice extends AsyncDisposable {
  /** For messages: what this is and where it comes from. */
  readonly name: string;
  readonly geometry: Geometry;
  /**
   * Fills `into` at once and answers true, or leaves `into` in any state and answers false: then `read`
   * is the way. Throws what `read` would reject with.
   */
  tryRead(into: Uint8Array, offset: number, effort?: Effort): boolean;
  /** Fills `into` entirely or rejects; there are no short reads. `into` is lent until it settles. */
  read(into: Uint8Array, offset: number): Promise<void>;
  /**
   * Covers exactly `offset..offset+length` in order, without gaps; neighbours differ in kind.
   * `data` may be answered for anything, `zero` only for what reads as zeros.
   */
  extents(offset: number, length: number): Promise<readonly Extent[]>;
}

/**
 * Overlapping calls may land in any order, but never mix inside one `blockSize` block; a read begun
 * after a write resolved sees it.
 */
export interface WritableBlockDevice extends BlockDevice {
  /**
   * Takes what `from` holds, as a `write` that is 'cached', and calls `done` later, never before it returns, with what
   * failed if something did. Or answers false and has done nothing: then `write` is the way. Throws what `write` would
   * reject with.
   */
  tryWrite(from: Uint8Array, offset: number, done: WriteDone): boolean;
  /** `durable`: survives a power cut once resolved (NBD's FUA, NFS's FILE_SYNC). `from` is lent. */
  write(from: Uint8Array, offset: number, durability: Durability): Promise<void>;
  /** Reads as zeros afterwards; gives the space back where it can. */
  zero(offset: number, length: number, durability: Durability): Promise<void>;
  /** Everything that resolved before this call survives a power cut once it resolves. */
  flush(): Promise<void>;
}

/**
 * `memory` (unless told otherwise): only what needs no medium. `medium`: may hold up this thread for one
 * that has been quick, which is shorter than to hand over; for who has nothing else to do meanwhile.
 */
export type Effort = 'memory' | 'medium';

export type Durability = 'cached' | 'durable';

/** Undefined: nothing failed. */
export type WriteDone = (failure?: unknown) => void;

export interface Geometry {
  /** Bytes; constant while the device is open. */
  readonly size: number;
  /** What one request is best aligned to and a multiple of; a power of two, at least 512. */
  readonly blockSize: number;
}

export interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly kind: ExtentKind;
}

export type ExtentKind = 'data' | 'zero';

export function isWritable(device: BlockDevice): device is WritableBlockDevice {
  return 'write' in device;
}
