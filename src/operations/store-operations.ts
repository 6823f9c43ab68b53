import { anyObject, flag, list, nullable, object, text } from '../lib/schema.ts';
import { changes, hiding, looks, type Operation, withKey } from './operation.ts';
import {
  adoptRequest,
  checkRequest,
  importKeyRequest,
  nothing,
  setRequest,
  upgradeRequest,
} from './requests.ts';
import {
  checkResult,
  damagedPoint,
  rebuiltIndex,
  setSummary,
  storeSummary,
  storeUsage,
} from './result-schemas.ts';

const name = text({ max: 256 });
const long = text({ max: 64 * 1024 });
const MANY = 10_000_000;
const BIG = 4 * 1024 * 1024;
const damaged = list(damagedPoint, MANY);

/** Operations on a store and its sets; the rest: operations.ts. */
export const STORE_OPERATIONS = {
  'store/create': changes('make the store that the service is set to', nothing, storeSummary),
  'store/adopt': changes(
    'show orders in the store that this box did not give; accept exactly what was shown',
    adoptRequest,
    object({
      store: long,
      /** Names what is shown: a request with it adopts exactly that. */
      plan: name,
      adopted: flag(),
      /** Why the box remembers nothing at all; null: it does. */
      memory: nullable(long),
      /** Features that the store had when this box used it last, and has no longer. */
      lost: list(name, MANY),
      sessions: list(
        object({
          ...{ session: name, set: name, point: name, listen: long, tls: flag() },
          /** Whether the service is to run it by itself. */
          starts: flag(),
          /** Hosts that may use it over NFS; null: it is not exported there. */
          nfs: nullable(list(name, MANY)),
        }),
        MANY,
      ),
      jobs: list(object({ job: name, kind: name, request: anyObject(BIG) }), MANY),
      schedules: list(
        object({ schedule: name, at: name, kind: name, request: anyObject(BIG) }),
        MANY,
      ),
      sets: list(object({ set: name, encrypted: flag(), wasEncrypted: flag() }), MANY),
      /** Machines whose recovery points are older than `point`, which this box made. */
      older: list(object({ set: name, machine: name, point: name }), MANY),
    }),
  ),
  'store/usage': looks(
    'show how full the store is, when it will be full, and what it saves',
    nothing,
    storeUsage,
  ),
  'store/check': withKey(changes('look for damage', checkRequest, checkResult)),
  'store/upgrade': withKey(
    changes(
      'give an older store the features of new ones, or say which it lacks',
      upgradeRequest,
      object({
        store: long,
        features: list(object({ feature: name, changes: long }), MANY),
        upgraded: flag(),
      }),
    ),
  ),
  'store/rebuild-index': changes('rebuild the index from the packs', nothing, rebuiltIndex),
  'set/list': looks('list backup sets', nothing, object({ sets: list(setSummary, MANY), damaged })),
  'set/create': withKey(
    changes(
      'make a backup set; `secret` is the passphrase of an encrypted one',
      setRequest,
      object({
        ...{ set: name, created: name, encrypted: flag() },
        recoveryKey: nullable(name),
      }),
    ),
  ),
  'set/import-key': hiding(
    withKey(
      changes(
        'make a lost record of a set again from its key; `secret` is its new passphrase',
        importKeyRequest,
        object({ set: name, recoveryKey: name }),
      ),
    ),
    'key',
  ),
} as const satisfies Readonly<Record<string, Operation>>;
