import type { Picture } from '../../image/picture.ts';

/*
 * What booting a recovery point in isolation showed: found by sessions/proof, kept with the point (proof.ts). Texts
 * that a guest has written are its own: bounded, and not yet made harmless for a terminal.
 */

/**
 * What the guest did. `works`: all checks passed. `unhealthy`: it runs, and a check that was asked for failed.
 * `unclear`: it runs, and nothing says whether it works. All others say where it stopped.
 */
export const PROOF_STATES = [
  'works',
  'unhealthy',
  'unclear',
  'hangs',
  'slow',
  'panic',
  'no-boot-device',
  'boot-loader',
  'file-system-check',
  'emergency',
  'passphrase',
  'reboot-loop',
  'powered-off',
  'damaged',
  'qemu-ended',
] as const;
export type ProofState = (typeof PROOF_STATES)[number];

export const PROOF_VERDICTS = ['proven', 'failed'] as const;
export type ProofVerdict = (typeof PROOF_VERDICTS)[number];

const PROOF_CHECK_KINDS = ['boot', 'agent', 'serial', 'screen', 'port', 'http', 'script'] as const;
export type ProofCheckKind = (typeof PROOF_CHECK_KINDS)[number];

export const PROOF_CHECK_OUTCOMES = ['passed', 'failed', 'not-tried'] as const;

export interface ProofCheck {
  readonly kind: ProofCheckKind;
  /** What was asked for: a port, a URL, a text; empty where the kind says it all. */
  readonly what: string;
  readonly outcome: (typeof PROOF_CHECK_OUTCOMES)[number];
  /** When it passed or was last tried, in milliseconds after the guest was started. */
  readonly afterMs: number;
  /** For people: what was seen. */
  readonly detail: string;
}

export interface ProofResult {
  readonly verdict: ProofVerdict;
  readonly state: ProofState;
  /** For people: what was seen, and what to do. */
  readonly reason: string;
  /** ISO 8601, UTC. */
  readonly started: string;
  /** How the guest was run: by the processor, or emulated. */
  readonly accelerator: ProofAccelerator;
  /** `boot` first; at most PROOF_CHECKS_MAX. */
  readonly checks: readonly ProofCheck[];
  readonly timings: ProofTimings;
  /** What the guest read of its disks, and wrote into what was thrown away. */
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Parts of the machine that this boot did without, for people; at most PROOF_WITHOUT_MAX. */
  readonly without: readonly string[];
  /** The screen at the verdict; undefined: there was none. */
  readonly screen?: Picture | undefined;
  /** The characters on the screen where it was in text mode; of more than PROOF_TEXT_MAX bytes, the end is kept. */
  readonly screenText?: string | undefined;
  /** The end of what the guest wrote to its serial line; of more than PROOF_TEXT_MAX bytes, the end is kept. */
  readonly serial: string;
}

export const PROOF_ACCELERATORS = ['kvm', 'tcg'] as const;
export type ProofAccelerator = (typeof PROOF_ACCELERATORS)[number];

/** All in whole milliseconds. */
export interface ProofTimings {
  /** From the request until the guest was started. */
  readonly preparedMs: number;
  /** From its start until it was up; undefined: it was not. */
  readonly bootMs?: number | undefined;
  /** From the request to the verdict. */
  readonly totalMs: number;
}

export const PROOF_CHECKS_MAX = 96;
export const PROOF_WITHOUT_MAX = 64;
/** As many lines as a kernel's log of a panic. */
export const PROOF_TEXT_MAX = 64 * 1024;
