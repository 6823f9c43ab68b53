import type { SentSecret } from '../operations/base/secret.ts';

/** A secret as a request carries it: bytes as base64. */
export function sentSecret(
  secret:
    | { readonly kind: 'passphrase'; readonly passphrase: Uint8Array }
    | { readonly kind: 'recovery-key'; readonly text: string },
): SentSecret {
  if (secret.kind === 'recovery-key') return secret;
  return { kind: secret.kind, base64: Buffer.from(secret.passphrase).toString('base64') };
}
