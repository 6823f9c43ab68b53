import {
  field,
  flag,
  list,
  nullable,
  type Of,
  object,
  oneOf,
  optional,
  text,
} from '../../lib/schema.ts';
import { count, MANY, prose, time, word } from './fields.ts';

/* What is said of the proofs of a recovery point, by several operations. */

const outcome = {
  verdict: field(oneOf('proven', 'failed'), 'whether its boot proved it'),
  state: field(
    word,
    'what the guest did: works, unhealthy (a check that was asked for failed), unclear, hangs, slow, panic, ' +
      'no-boot-device, boot-loader, file-system-check, emergency, passphrase, reboot-loop, powered-off, damaged, ' +
      'qemu-ended',
  ),
  started: time('when it was tried'),
  ageSeconds: field(count, 'how many seconds ago that was'),
  totalMs: field(count, 'milliseconds from the request to the verdict'),
  release: field(word, 'the release of Holdfast that tried it'),
};
const proofOutcome = object(outcome);
export type ProofOutcome = Of<typeof proofOutcome>;

/** Shown for a recovery point in a list. */
export const lastProof = field(
  optional(proofOutcome),
  'its last proof of recovery, a boot in isolation; absent: it was not tried',
);

/** Shown for a machine. */
export const newestProof = field(
  nullable(object({ point: field(word, 'ID of the recovery point'), ...outcome })),
  'the last proof of its newest recovery point that was tried; null: none was tried',
);

/** 4 MiB of PNG, in Base64. */
const SCREENSHOT_MAX = 6 * 1024 * 1024;
const CHECKS_MAX = 64;

const check = object({
  kind: field(word, 'what was checked: boot, agent, serial, screen, port, http, script'),
  what: field(prose, 'what was asked for: a port, a URL, a text; empty if the kind says it all'),
  outcome: field(oneOf('passed', 'failed', 'not-tried'), 'how it ended'),
  afterMs: field(count, 'when it passed or was last tried, in milliseconds after the start'),
  detail: field(prose, 'what was seen'),
});

const picture = object({
  width: field(count, 'pixels in a row'),
  height: field(count, 'rows'),
  rgb: field(text({ max: SCREENSHOT_MAX }), 'three bytes for each pixel, in Base64'),
});

const shownProof = object({
  ...outcome,
  reason: field(prose, 'what was seen, and what to do'),
  accelerator: field(oneOf('kvm', 'tcg'), 'how the guest was run: by the processor, or emulated'),
  checks: field(list(check, CHECKS_MAX), 'what was checked'),
  preparedMs: field(count, 'milliseconds from the request until the guest was started'),
  bootMs: field(nullable(count), 'milliseconds from its start until it was up; null: it was not'),
  readBytes: field(count, 'bytes that the guest read from its disks'),
  writtenBytes: field(count, 'bytes that it wrote, which were discarded'),
  without: field(list(prose, MANY), 'parts of the machine that this boot did not have'),
  hasScreenshot: field(flag(), 'whether there is a screenshot'),
  screenText: field(nullable(prose), 'the characters on the screen, if it was in text mode'),
});
export type ShownProof = Of<typeof shownProof>;

/** Shown for a single recovery point. */
export const shownLastProof = field(
  optional(shownProof),
  'its last proof of recovery with its checks; absent: it was not tried',
);

/** All that is kept of a proof. */
export const wholeProof = object({
  point: field(word, 'ID of the recovery point'),
  set: field(word, 'name of the backup set'),
  machine: field(word, 'name of the machine'),
  proof: field(shownProof, 'the last proof'),
  earlier: field(list(proofOutcome, MANY), 'the proofs before it that are kept, the newest first'),
  screenshot: field(
    optional(text({ max: SCREENSHOT_MAX, min: 0 })),
    'the screen when the verdict was reached, PNG in Base64, if it was asked for; empty: there was none',
  ),
  picture: field(optional(picture), 'the same, small, if it was asked for'),
  serial: field(
    optional(prose),
    'the end of what the guest wrote to its serial line, if it was asked for',
  ),
});
