import { needsPasskey, type Operation } from './base/operation.ts';
import { operationOf } from './nouns/background.ts';
import { OPERATIONS, type OperationName, type RequestOf } from './operations.ts';

/** Whether a person's request needs the passkey of the set that it opens. */
export function asksPasskey<N extends OperationName>(name: N, request: RequestOf<N>): boolean {
  const operation: Operation = OPERATIONS[name];
  if (operation.passkey !== 'as its job') return needsPasskey(operation, request);
  const { job = request } = request as { readonly job?: object };
  const { kind, request: inner } = job as { readonly kind: string; readonly request: object };
  const carriedOut = operationOf(kind);
  return carriedOut !== undefined && needsPasskey(carriedOut, inner);
}

/** Whether there are requests of this operation that need one. */
export function mayAskPasskey(name: OperationName): boolean {
  const { passkey = 'not asked' }: Operation = OPERATIONS[name];
  return passkey !== 'not asked';
}
