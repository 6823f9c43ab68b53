import type { Location } from '../../formats/store/packs/node.ts';
import type { PackEntry, PackHeader } from '../../formats/store/packs/pack.ts';
import type { MovedFrames } from './moved-frames.ts';
import type { WantedFrame, WantedMarks } from './wanted-marks.ts';

/**
 * Where the packs of a store are kept, and what is known of frames that they lost: files beside the store
 * (pack-files.ts), or anything else that passes the same suite (test/store/packs/conformance.ts). A sealed pack
 * never changes. Any number of processes may read; one at a time, which holds the store's lock, may use the side for
 * sealing.
 */
export interface PackStore extends PackReading, PackSealing, AsyncDisposable {
  /** Where frames went that a pack no longer gives. */
  readonly moved: MovedFrames;
  /** Marks of frames that are missing or damaged. */
  readonly wanted: WantedMarks;
  /** Notes that a frame is missing or damaged where it ought to be. Never rejects for the medium. */
  want(frame: WantedFrame): Promise<void>;
}

export interface PackReading {
  /** Fills `into` from a pack. MISSING, CORRUPT (too short), IO. */
  read(into: Uint8Array, pack: number, offset: number): Promise<void>;
  /** As `read`, blocking this thread; false: it cannot be done at once. It may be possible the next time. */
  tryRead(into: Uint8Array, pack: number, offset: number): boolean;
  /** As `read`, blocking this thread but for the opening of a pack: for worker threads. */
  readBlocking(into: Uint8Array, pack: number, offset: number): Promise<void>;
  /** What other threads open to read for themselves (`packReads`); undefined: they cannot. */
  readonly directory: string | undefined;
  /** These bytes will be read in pieces, soon: see `File.willNeed`. */
  willNeed(pack: number, offset: number, length: number): void;
  /** Where a pack is, for people. */
  path(pack: number): string;
  /** Numbers of the sealed packs, ascending. */
  list(): Promise<number[]>;
  /** Lengths of the sealed packs, by number. */
  sizes(): Promise<Map<number, number>>;
  /** Size, header and footer of a sealed pack, checked. FormatError, naming where it is. */
  footer(pack: number): Promise<PackFooter>;
  /** What is in a sealed pack: from its footer or, where that is damaged, from frame to frame. */
  contents(pack: number): Promise<PackContents>;
}

export interface PackSealing {
  /** Begins a pack. Its number has never been given before. */
  build(header: PackHeader): PackBuilder;
  /** Numbers of packs that were begun and not sealed, ascending. */
  unsealed(): Promise<number[]>;
  /**
   * Seals what a crash left unsealed: packs of blocks up to their last whole frame, so that a repeated backup finds
   * what they hold; packs of nodes without any, for blocks that these name may be lost. Afterwards none is unsealed.
   */
  salvage(): Promise<void>;
  /** Once it resolves, no power cut takes these packs back, whoever sealed them. */
  settle(packs: Iterable<number>): Promise<void>;
  /** The greatest number that recovery points may name, as `writeLast` wrote it; `damage`: it cannot be read. */
  readLast(): Promise<LastPack>;
  /** Durable once it resolves. */
  writeLast(last: number): Promise<void>;
}

/** 0: it is not known. */
export interface LastPack {
  readonly last: number;
  readonly damage?: { readonly where: string; readonly what: string };
}

export interface PackFooter {
  readonly size: number;
  readonly header: PackHeader;
  readonly entries: readonly PackEntry[];
}

export interface PackContents {
  readonly size: number;
  /** Undefined: it is damaged. */
  readonly header: PackHeader | undefined;
  readonly entries: readonly PackEntry[];
  /** What is wrong with header or footer; undefined: nothing. */
  readonly damage: string | undefined;
}

/** A pack that is being written. Locations are known at once; the bytes follow in large pieces. */
export interface PackBuilder {
  readonly number: number;
  /** Bytes so far, the ones not written yet included. */
  readonly size: number;
  readonly entries: readonly PackEntry[];
  /** Copies the frame. */
  append(frame: Uint8Array, digest: Uint8Array): Location;
  /** Resolves when little enough waits to be written. */
  drained(): Promise<void>;
  /** Data, footer and name are durable once this resolves; nothing may be appended any more. */
  seal(): Promise<void>;
  close(): Promise<void>;
}
