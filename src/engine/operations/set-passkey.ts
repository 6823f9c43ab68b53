import { parse } from '../../lib/schema.ts';
import { passkeyText } from '../../operations/base/secret.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { CallOptions } from '../base/call.ts';
import { type Engine, openSet, readKnownSet } from '../base/engine.ts';
import type { Passkeys } from '../secrets/passkeys.ts';
import { newPassphrase } from '../points/sets.ts';

/** The first passkey of a set, or another one. A set that has one is asked for it: see `secrets`. */
export async function setPasskey(
  passkeys: Passkeys,
  engine: Engine,
  { set }: RequestOf<'set/passkey'>,
  { given, secrets }: CallOptions,
): Promise<ResultOf<'set/passkey'>> {
  await readKnownSet(engine, set);
  await secrets(set, 'if given');
  const text = Buffer.from(newPassphrase(given)).toString('utf8');
  await passkeys.change(engine, set, parse(passkeyText, text, ['secret']));
  return { set, passkey: true };
}

/** A lost passkey is removed with the key of the set, which a person has to give: the service's own does not count. */
export async function removePasskey(
  passkeys: Passkeys,
  engine: Engine,
  { set }: RequestOf<'set/remove-passkey'>,
  { given, secrets }: CallOptions,
): Promise<ResultOf<'set/remove-passkey'>> {
  if (given) await openSet(engine, set, async () => given);
  else await secrets((await readKnownSet(engine, set)).name, 'if given');
  return { set, removed: await passkeys.remove(engine, set) };
}
