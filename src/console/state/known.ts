/** What the service said about something. `unknown` is never shown as "none". */
export type Known<T> =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'known'; readonly value: T; readonly atMs: number }
  | { readonly kind: 'refused'; readonly message: string };

export const UNKNOWN = { kind: 'unknown' } as const;
