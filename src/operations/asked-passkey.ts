import type { Operation } from './base/operation.ts';
import { operationOf } from './nouns/background.ts';
import { OPERATIONS, type OperationName, type RequestOf } from './operations.ts';

/** Whether a person's request needs the passkey of the set that it opens. */
export function asksPasskey<N extends OperationName>(name: N, request: RequestOf<N>): boolean {
  const { passkey }: Operation = OPERATIONS[name];
  if (passkey !== 'as its job') return passkey === 'asked';
  const { kind, job } = request as { readonly kind?: string; readonly job?: { kind: string } };
  const asked = operationOf(job?.kind ?? kind ?? '')?.passkey;
  return asked === 'asked';
}

/** Whether there are requests of this operation that need one. */
export function mayAskPasskey(name: OperationName): boolean {
  const { passkey = 'not asked' }: Operation = OPERATIONS[name];
  return passkey !== 'not asked';
}
