import { lastProof, type ShownProof as Kept } from '../../catalog/proofs.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import type { ShownProof } from '../../operations/base/proofs.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { type Engine, type OpenedPoint, openPoint, type SecretSource } from '../base/engine.ts';
import { reasonWithoutQuotes } from '../../sessions/proof/verdict.ts';
import { hasPasskey } from '../secrets/passkey-files.ts';
import { outcomeOf } from './point-proofs.ts';

/* What is shown of a proof with the key of its set. */

/** Rejects NOT_FOUND if the point was not tried. */
export async function showProof(
  engine: Engine,
  { point: query, ...asked }: RequestOf<'verify/show'>,
  secrets: SecretSource,
): Promise<ResultOf<'verify/show'>> {
  return proofOf(engine, await openPoint(engine, query, secrets), asked);
}

/** The same, of a point that is open. */
export async function proofOf(
  { store, box }: Pick<Engine, 'store' | 'box'>,
  { set, point: { id, machine } }: OpenedPoint,
  asked: Omit<RequestOf<'verify/show'>, 'point'>,
): Promise<ResultOf<'verify/show'>> {
  const proof = await lastProof(store, set, id);
  if (!proof) {
    const advice = `"holdfast verify ${id}" boots it in isolation`;
    throw new CatalogError('NOT_FOUND', `${id} was not tried: ${advice}`);
  }
  const now = store.clock.now();
  const { small } = proof;
  // Each of these needs the passkey, so a person who asks for one has given it.
  const isGuarded = asked.screenshot || asked.picture || asked.serial;
  const mayQuote = isGuarded || !(await hasPasskey({ store, box }, set.name));
  const shown = shownProof(proof, now);
  return {
    ...{ point: id, set: set.name, machine, proof: mayQuote ? shown : withoutQuotes(shown) },
    earlier: proof.earlier.map((it) => outcomeOf(it, now)),
    screenshot: asked.screenshot ? base64(proof.screenshot ?? new Uint8Array(0)) : undefined,
    picture: asked.picture && small ? { ...small, rgb: base64(small.rgb) } : undefined,
    serial: asked.serial ? proof.serial : undefined,
  };
}

export function shownProof(proof: Kept, now: Date): ShownProof {
  const { reason, accelerator, checks, timings, readBytes, writtenBytes, without } = proof;
  return {
    ...outcomeOf(proof, now),
    ...{ reason, accelerator, checks, readBytes, writtenBytes, without },
    preparedMs: timings.preparedMs,
    bootMs: timings.bootMs ?? null,
    hasScreenshot: proof.screenshot !== undefined,
    screenText: proof.screenText ?? null,
  };
}

/** Checks whose details may be a line of the guest. */
const QUOTING: ReadonlySet<string> = new Set(['boot', 'serial', 'screen', 'script']);

/** What is shown without the passkey: no line that the guest has written. */
export function withoutQuotes(proof: ShownProof): ShownProof {
  const { state, reason, checks } = proof;
  return {
    ...{ ...proof, screenText: null, reason: reasonWithoutQuotes(state, reason) },
    checks: checks.map((it) =>
      QUOTING.has(it.kind)
        ? { ...it, detail: it.outcome === 'passed' ? 'it was seen' : 'it was not seen' }
        : it,
    ),
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}
