import type { ProofResult } from '../../src/formats/store/catalog/proof-result.ts';
import { pattern } from './random.ts';

/** A proof of a guest that came up, with everything that one can have. */
export const PROOF: ProofResult = {
  verdict: 'proven',
  state: 'works',
  reason: 'the guest is up: its agent answers',
  started: '2026-11-30T02:00:00.000Z',
  accelerator: 'kvm',
  checks: [
    { kind: 'boot', what: '', outcome: 'passed', afterMs: 8000, detail: 'login prompt' },
    { kind: 'port', what: '22', outcome: 'failed', afterMs: 9000, detail: 'refused' },
  ],
  timings: { preparedMs: 120, bootMs: 8000, totalMs: 9120 },
  readBytes: 123_456_789,
  writtenBytes: 4096,
  without: ['a TPM'],
  screen: { width: 320, height: 200, rgb: pattern(3 * 320 * 200) },
  screenText: 'web1 login: ',
  serial: '[    0.000000] Linux version 6.1\n',
};

/** The same of one whose kernel gave up, with as little as one can have. */
export const FAILED_PROOF: ProofResult = {
  ...PROOF,
  ...{ verdict: 'failed', state: 'panic', reason: 'the kernel panicked', checks: [], without: [] },
  timings: { preparedMs: 120, totalMs: 5000 },
  ...{ screen: undefined, screenText: undefined, serial: '' },
};
