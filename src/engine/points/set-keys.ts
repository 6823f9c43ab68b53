import { CatalogError } from '../../catalog/catalog-error.ts';
import { exportSetKey, importSetKey } from '../../catalog/paper-key.ts';
import { isLocked, keptPoints } from '../../catalog/removal/kept-points.ts';
import { formatSetKey, parseSetKey } from '../../formats/store/catalog/key-slot.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import {
  type GivenSecret,
  type Engine,
  readKnownSet,
  readSecret,
  type SecretSource,
} from '../base/engine.ts';
import { trustedNow } from '../base/trusted-now.ts';
import { newPassphrase } from './sets.ts';

/** The key for paper. Not in the service, which never gives its keys away. Rejects WRONG_KEY. */
export async function exportKey(
  engine: Engine,
  name: string,
  secrets: SecretSource,
): Promise<{ readonly set: string; readonly key: string }> {
  const record = await readKnownSet(engine, name);
  const given = await secrets(name, record.slots.length > 0 ? 'needed' : 'if given');
  const key = await exportSetKey(record, given && readSecret(given));
  return { set: name, key: formatSetKey(key) };
}

/** Rejects WRONG_KEY, NOT_FOUND. */
export async function importKey(
  engine: Engine,
  { set, key: text }: RequestOf<'set/import-key'>,
  given: GivenSecret | undefined,
): Promise<ResultOf<'set/import-key'>> {
  const key = parseSetKey(text);
  if (!key) {
    const what = 'this is not the key of a set: a digit is wrong or missing';
    throw new CatalogError('WRONG_KEY', what);
  }
  const passphrase = newPassphrase(given);
  const { store } = engine;
  const { recoveryKey, isKept } = await importSetKey(store, set, {
    ...{ key, passphrase },
    isLocked: async () =>
      (await keptPoints(store, set, await trustedNow(engine))).some((it) => isLocked(it)),
  });
  return { set, recoveryKey, kept: isKept };
}
