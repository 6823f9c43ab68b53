import type { Location } from '../../formats/store/packs/node.ts';
import type { PackEntry, PackHeader } from '../../formats/store/packs/pack.ts';
import type { HurtPlace } from '../../formats/store/packs/wanted.ts';
import type { MovedFrames } from './moved-frames.ts';
import type { ReferenceLists } from './reference-lists.ts';
import type { SweptPacks } from './swept-packs.ts';
import type { WantedFrame, WantedMarks } from './wanted-marks.ts';

/**
 * The packs of a store, and what is known about frames that they lost: files beside the store (pack-files.ts), or any
 * other implementation that passes the same suite (test/store/packs/conformance.ts). A sealed pack never changes. Any
 * number of processes may read; one at a time, which holds the store's lock, may use the sealing side.
 */
export interface PackStore extends PackReading, PackSealing, AsyncDisposable {
  /** New places of frames that packs have lost. */
  readonly moved: MovedFrames;
  /** What sweeps have removed. */
  readonly swept: SweptPacks;
  /** What the nodes of packs refer to. */
  readonly references: ReferenceLists;
  /** Marks of frames that are missing or damaged. */
  readonly wanted: WantedMarks;
  /** Marks a frame as missing or damaged at its place; `hurt`: for whom. Never rejects for the medium. */
  want(frame: WantedFrame, hurt?: HurtPlace): Promise<void>;
}

export interface PackReading {
  /** Fills `into` from a pack. MISSING, CORRUPT (too short), IO. */
  read(into: Uint8Array, pack: number, offset: number): Promise<void>;
  /** As `read`, blocking this thread; false: not possible now, perhaps the next time. */
  tryRead(into: Uint8Array, pack: number, offset: number): boolean;
  /** As `read`, blocking this thread except while a pack is opened: for worker threads. */
  readBlocking(into: Uint8Array, pack: number, offset: number): Promise<void>;
  /** The directory that other threads open to read themselves (`packReads`); undefined: they cannot. */
  readonly directory: string | undefined;
  /** These bytes will be read in pieces, soon: see `File.willNeed`. */
  willNeed(pack: number, offset: number, length: number): void;
  /** The place of a pack, for people. */
  path(pack: number): string;
  /** Numbers of the sealed packs, ascending. */
  list(): Promise<number[]>;
  /** Lengths of the sealed packs, by number. */
  sizes(): Promise<Map<number, number>>;
  /** Size, header and footer of a sealed pack, checked. Rejects FormatError, naming its place. */
  footer(pack: number): Promise<PackFooter>;
  /** The same without the entries: 52 bytes are read. Rejects FormatError, naming its place. */
  summary(pack: number): Promise<PackSummary>;
  /** The contents of a sealed pack: from its footer or, if that is damaged, from frame to frame. */
  contents(pack: number): Promise<PackContents>;
}

export interface PackSealing {
  /** Begins a pack. Its number has never been given before. */
  build(header: PackHeader): PackBuilder;
  /** Begins a pack that is made without the store's lock, one at a time. `number`: the one that it probably gets. */
  draft(header: PackHeader): Promise<PackDraft>;
  /** Removes drafts that a killed process left. */
  removeDrafts(): Promise<void>;
  /** Numbers of packs that were begun and not sealed, ascending. */
  unsealed(): Promise<number[]>;
  /**
   * Seals packs that a crash left unsealed: packs of blocks up to their last whole frame, so that a repeated backup
   * finds their blocks; packs of nodes as empty ones, because blocks to which they refer may be lost. Afterwards none
   * is unsealed.
   */
  salvage(): Promise<void>;
  /** Once it resolves, a power cut cannot undo these packs, whichever process sealed them. */
  settle(packs: Iterable<number>): Promise<void>;
  /** The greatest number to which recovery points may refer, written by `writeLast`; `damage`: it cannot be read. */
  readLast(): Promise<LastPack>;
  /** Durable once it resolves. */
  writeLast(last: number): Promise<void>;
}

/** `last` 0: not known. */
export interface LastPack {
  readonly last: number;
  readonly damage?: { readonly where: string; readonly what: string };
}

export interface PackFooter {
  readonly size: number;
  readonly header: PackHeader;
  readonly entries: readonly PackEntry[];
  /** The checksum of the entries. */
  readonly entriesCrc: number;
}

export interface PackSummary extends Omit<PackFooter, 'entries'> {
  /** The number of its entries. */
  readonly count: number;
}

export interface PackContents {
  readonly size: number;
  /** Undefined: it is damaged. */
  readonly header: PackHeader | undefined;
  readonly entries: readonly PackEntry[];
  /** The defect of header or footer; undefined: there is none. */
  readonly damage: string | undefined;
}

/** A pack that is being written. Locations are known at once; the bytes follow in large pieces. */
export interface PackBuilder {
  readonly number: number;
  /** Bytes so far, including unwritten ones. */
  readonly size: number;
  readonly entries: readonly PackEntry[];
  /** Copies the frame. */
  append(frame: Uint8Array, digest: Uint8Array): Location;
  /** Resolves when little enough waits to be written. */
  drained(): Promise<void>;
  /** Data, footer and name are durable once this resolves; nothing may be appended afterwards. */
  seal(): Promise<void>;
  close(): Promise<void>;
}

/**
 * A pack that is made beside the store's writer, without its lock: no writer sees it, and nothing refers to it, before
 * it has its number. Disposing it removes what has none.
 */
export interface PackDraft extends AsyncDisposable {
  /** Bytes so far, without the footer. */
  readonly size: number;
  readonly entries: readonly PackEntry[];
  /** Resolves with the offset of the frame. */
  append(frame: Uint8Array, digest: Uint8Array): Promise<number>;
  /**
   * Once it resolves, frames and footer are durable, and each frame was read back. Rejects FormatError if one is not
   * as it was written.
   */
  finish(): Promise<void>;
  /**
   * Makes it the sealed pack with this number, durable once it resolves. Only for the process that holds the store's
   * lock, after `finish`. False: packs with this number lie in another directory, so that it has to be made again.
   */
  name(number: number): Promise<boolean>;
}
