import type { MachineId } from './machines.ts';

/*
 * Files of guests that run, through the agent in each. A guest is hostile, and so is what its agent says: answers are
 * bounded, and only shown.
 */
export interface GuestFiles {
  /**
   * Writes one file into the guest, reads it back and compares. A file appears under its name when it is whole, where
   * the agent may run programs; where it may not, it is written under its name. What the agent opened is closed in
   * each case. Rejects UNREACHABLE if no agent answers, UNSUPPORTED if it refuses what is needed, EXISTS, NO_SPACE,
   * DENIED, CONFLICT if what was read back is not what was written.
   */
  put(id: MachineId, file: GuestFile, options: PutOptions): Promise<PutFile>;
}

export interface GuestFile {
  /** As the guest writes it: "/etc/fstab", "C:\\boot.ini". */
  readonly path: string;
  /** At most GUEST_FILE_MAX bytes. */
  readonly bytes: Uint8Array;
  /** Its rights, such as 0o644; undefined: not known. */
  readonly mode: number | undefined;
  readonly owner: { readonly user: number; readonly group: number } | undefined;
  /** Replaces a file of that name. */
  readonly overwrite: boolean;
}

export interface PutOptions {
  /** A word that cannot be guessed, for the name under which it is written first. */
  readonly nonce: string;
  readonly signal: AbortSignal;
  onProgress(progress: { readonly phase: 'write' | 'compare'; readonly position: number }): void;
}

export interface PutFile {
  /** Whether it replaced another file. */
  readonly replaced: boolean;
  /** What could not be done besides, and why: its owner, its rights, a name of its own until it was whole. */
  readonly lost: readonly string[];
}

/**
 * 1 MiB takes some seconds on a busy host, since each part is a question and an answer; and the agent answers nothing
 * else in the meantime, such as the freeze of a backup.
 */
export const GUEST_FILE_MAX = 16 * 1024 * 1024;
