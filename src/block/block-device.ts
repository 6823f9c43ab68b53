/**
 * A disk's bytes. Read-only and writable are different types, so that a layer over a base cannot write to the base.
 * Devices are made by `layer.ts`, which does every check once.
 */
export interface BlockDevice extends AsyncDisposable {
  /** For messages: what the device is and where it comes from. */
  readonly name: string;
  readonly geometry: Geometry;
  /**
   * Fills `into` at once and returns true, or leaves `into` in any state and returns false: then use `read`. Throws
   * the errors with which `read` would reject.
   */
  tryRead(into: Uint8Array, offset: number, effort?: Effort): boolean;
  /** Fills all of `into` or rejects; there are no short reads. `into` is lent until it settles. */
  read(into: Uint8Array, offset: number): Promise<void>;
  /**
   * Covers exactly `offset..offset+length` in order, without gaps; neighbors differ in kind. `data` may be returned
   * for anything, `zero` only for bytes that read as zeros.
   */
  extents(offset: number, length: number): Promise<readonly Extent[]>;
}

/**
 * Overlapping calls may take effect in any order, but never mix inside one `blockSize` block; a read that begins
 * after a write resolved sees that write.
 */
export interface WritableBlockDevice extends BlockDevice {
  /**
   * Takes the contents of `from`, as a `write` that is 'cached', and calls `done` later, never before it returns,
   * with the error if one occurred. Or returns false and has done nothing: then use `write`. Throws the errors with
   * which `write` would reject.
   */
  tryWrite(from: Uint8Array, offset: number, done: WriteDone): boolean;
  /** `durable`: survives a power cut once resolved (NBD's FUA, NFS's FILE_SYNC). `from` is lent. */
  write(from: Uint8Array, offset: number, durability: Durability): Promise<void>;
  /** The range reads as zeros afterwards; frees the space where it can. */
  zero(offset: number, length: number, durability: Durability): Promise<void>;
  /** Everything that resolved before this call survives a power cut once it resolves. */
  flush(): Promise<void>;
}

/**
 * `memory` (the default): only what needs no medium. `medium`: may block this thread on a medium that has been quick,
 * which takes less time than handing over; for callers that have nothing else to do in the meantime.
 */
export type Effort = 'memory' | 'medium';

export type Durability = 'cached' | 'durable';

/** `failure` is undefined on success. */
export type WriteDone = (failure?: unknown) => void;

export interface Geometry {
  /** Size in bytes; constant while the device is open. */
  readonly size: number;
  /** The best alignment and unit of requests; a power of two, at least 512. */
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
