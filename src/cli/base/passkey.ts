import type { Engine, SecretSource } from '../../engine/base/engine.ts';
import { findPasskey, type SecretOptions } from './secrets.ts';

export interface PasskeyOptions {
  readonly engine: () => Promise<Engine>;
  readonly options: SecretOptions;
  readonly signal: AbortSignal;
}

/** Secrets for work that this process does itself: a set with a passkey is asked for it before its key is used. */
export function withPasskey(
  secrets: SecretSource,
  { engine, options, signal }: PasskeyOptions,
): SecretSource {
  const checked = new Map<string, Promise<void>>();
  async function check(set: string): Promise<void> {
    const own = await engine();
    const { hasPasskey } = await import('../../engine/secrets/passkey-files.ts');
    if (!(await hasPasskey(own, set))) return;
    const { openPasskeys } = await import('../../engine/secrets/passkeys.ts');
    const passkey = findPasskey(set, options);
    await openPasskeys(own.store.clock).check(own, set, { passkey, by: 'this command', signal });
  }
  return async (set, when) => {
    const it = checked.get(set) ?? check(set);
    checked.set(set, it);
    await it;
    return secrets(set, when);
  };
}
