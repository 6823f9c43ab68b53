import type { Schema } from '../lib/schema.ts';

/** One row of the protocol's table. */
export interface Operation {
  readonly summary: string;
  /** Whether it only looks. */
  readonly access: 'view' | 'change';
  /** Whether a passphrase or recovery key may come with it, as `secret`. */
  readonly secrets: boolean;
  /** Fields of the request that are secrets: the audit log does not have them. */
  readonly hidden: readonly string[];
  readonly request: Schema<unknown>;
  readonly result: Schema<unknown>;
}

export function looks<Q, R>(summary: string, request: Schema<Q>, result: Schema<R>) {
  return { summary, access: 'view', secrets: false, hidden: [], request, result } as const;
}

export function changes<Q, R>(summary: string, request: Schema<Q>, result: Schema<R>) {
  return { summary, access: 'change', secrets: false, hidden: [], request, result } as const;
}

export function hiding<O extends Operation>(operation: O, ...hidden: readonly string[]) {
  return { ...operation, hidden };
}

export function withKey<O extends Operation>(operation: O) {
  return { ...operation, secrets: true };
}
