import { formatSize } from '../lib/sizes.ts';
import type { ShownProof } from '../operations/base/proofs.ts';

/* What is shown of a proof of recovery: facts, each with a word in front. */

export type Fact = readonly [head: string, text: string];

const MARKS = { passed: 'passed', failed: 'FAILED', 'not-tried': 'not tried' } as const;
const SHOWN_BY = { kvm: 'KVM', tcg: 'emulation' } as const;

export function proofFacts(proof: ShownProof): readonly Fact[] {
  const { started, release, reason, accelerator, checks, bootMs, totalMs, without } = proof;
  const up = bootMs === null ? '' : `up after ${seconds(bootMs)}, `;
  return [
    ['tried', `${started}, by ${release}, with ${SHOWN_BY[accelerator]}`],
    ['found', `${proof.state}: ${reason}`],
    ['took', `${up}${seconds(totalMs)} in all`],
    ['guest', `${formatSize(proof.readBytes)} read, ${formatSize(proof.writtenBytes)} written`],
    ...without.map((part): Fact => ['without', part]),
    ...checks.map(({ kind, what, outcome, afterMs, detail }): Fact => {
      const at = outcome === 'not-tried' ? '' : ` after ${seconds(afterMs)}`;
      return [kind, `${MARKS[outcome]}${at}${what === '' ? '' : `, ${what}`}: ${detail}`];
    }),
  ];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
