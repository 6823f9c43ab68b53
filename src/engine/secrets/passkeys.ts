import { CatalogError } from '../../catalog/catalog-error.ts';
import {
  isPasskey,
  type PasskeyRecord,
  passkeyVerifier,
  STRETCHED_PASSKEY_LENGTH,
} from '../../formats/store/catalog/passkey.ts';
import { SALT_LENGTH } from '../../formats/store/catalog/set-record.ts';
import { utf8 } from '../../lib/bytes.ts';
import { keyedTurns, turns } from '../../lib/mutex.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { growingWaits } from './growing-waits.ts';
import { type PasskeyPlace, readPasskey, removePasskey, writePasskey } from './passkey-files.ts';

/*
 * A second secret of a set, beside its key: a person who recovers from the set gives it, also where the service has
 * the key. It is compared with a salted hash and kept nowhere. What it protects from, and what not: docs/trust.md.
 */
export interface Passkeys {
  /**
   * Rejects PASSKEY: the set has one, and it was not given, or another one was. Guesses of one caller are judged one
   * after the other, and after each wrong one the next waits longer. Rejects CORRUPT where the record cannot be read,
   * and with the signal's reason where the caller goes before its guess was judged.
   */
  check(place: PasskeyPlace, set: string, asked: AskedPasskey): Promise<void>;
  change(place: PasskeyPlace, set: string, passkey: string): Promise<void>;
  /** Whether there was one. */
  remove(place: PasskeyPlace, set: string): Promise<boolean>;
}

export interface AskedPasskey {
  /** Undefined: none was given. */
  readonly passkey: string | undefined;
  /** Who guesses. */
  readonly by: string;
  readonly signal: AbortSignal;
}

/** Some 50 ms on a small appliance, as for passphrases: set-record.md. */
const KDF = { memoryKiB: 46 * 1024, passes: 1 } as const;

export function openPasskeys(clock: Clock): Passkeys {
  const waits = growingWaits(clock);
  const guesses = keyedTurns();
  const changes = turns();
  /** Each takes 46 MiB, and callers can send many at once. */
  const hashing = turns();

  async function stretched(passkey: string, kdf: PasskeyRecord['kdf']): Promise<Uint8Array> {
    const { argon2id } = await import('../../sys/crypto/argon2.ts');
    return hashing(async () => argon2id(bytesOf(passkey), kdf, STRETCHED_PASSKEY_LENGTH));
  }
  return {
    async check(place, set, { passkey, by, signal }) {
      const guesser = `${by} ${set}`;
      await guesses(guesser, async () => {
        signal.throwIfAborted();
        const record = await readPasskey(place, set);
        if (!record) return;
        if (passkey === undefined) {
          const how = 'commands take --passkey-file or ask for it, requests carry it as "passkey"';
          throw new CatalogError('PASSKEY', `set "${set}" has a passkey, which is missing: ${how}`);
        }
        // Before it is judged: a caller that goes during the wait has learned nothing, and the next one waits as long.
        const leftMs = waits.left(guesser);
        if (leftMs > 0) await clock.sleep(leftMs, signal).catch(() => {});
        signal.throwIfAborted();
        if (isPasskey(record, await stretched(passkey, record.kdf))) return waits.forget(guesser);
        waits.next(guesser);
        throw new CatalogError('PASSKEY', `this is not the passkey of set "${set}"`);
      });
    },
    change: (place, set, passkey) =>
      changes(async () => {
        const { store } = place;
        const kdf = { ...KDF, salt: store.random.bytes(SALT_LENGTH) };
        const verifier = passkeyVerifier(await stretched(passkey, kdf));
        const created = store.clock.now().toISOString();
        await writePasskey(place, { set, created, kdf, verifier });
      }),
    remove: (place, set) => changes(() => removePasskey(place, set)),
  };
}

/** Two keyboards may write one letter in two ways. */
function bytesOf(passkey: string): Uint8Array {
  return utf8(passkey.normalize('NFC'));
}
