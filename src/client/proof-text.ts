import type { ProofOutcome } from '../operations/base/proofs.ts';

/* How a proof of recovery is shown in a list. */

/** `proven 3 days ago`, `FAILED 2 h ago: panic`, `not tried`. */
export function proofText(proof: ProofOutcome | null | undefined): string {
  if (!proof) return 'not tried';
  const { verdict, state, ageSeconds } = proof;
  const age = ageText(ageSeconds, 'days');
  return verdict === 'proven' ? `proven ${age} ago` : `FAILED ${age} ago: ${state}`;
}

/** The same for a narrow column: `proven 3 d`. */
export function briefProof(proof: ProofOutcome | null | undefined): string {
  if (!proof) return 'not tried';
  return `${proof.verdict === 'proven' ? 'proven' : 'FAILED'} ${ageText(proof.ageSeconds, 'd')}`;
}

function ageText(seconds: number, days: string): string {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} ${days}`;
}
