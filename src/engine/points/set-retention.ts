import { join } from 'node:path/posix';
import type { Order } from '../../box/store-memory.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { leaseTurn } from '../../catalog/leases.ts';
import { readRecord } from '../../catalog/read-record.ts';
import type { Retention } from '../../catalog/retention/rules.ts';
import { setDirectory } from '../../catalog/set-copies.ts';
import { type SetRetention, setRetentionFile } from '../../formats/store/catalog/set-retention.ts';
import { SchemaError } from '../../lib/schema.ts';
import type { SetRules } from '../../operations/base/retention.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { type Engine, readKnownSet } from '../base/engine.ts';
import { checkRetention, retain, usedRules } from './retention.ts';

/*
 * The rules of a set, carried out after each of its backups. An attacker who can write to the store could have all
 * backups forgotten: only rules that this box was given are obeyed.
 */
type Place = Pick<Engine, 'store' | 'memory'>;

const LENGTH_MAX = 16 * 1024;

/** For lists: the rules, and why they are not carried out. */
export async function shownRules({ store, memory }: Place, set: string): Promise<SetRules> {
  const path = pathOf({ store }, set);
  if (!(await store.files.stat(path))) return { retention: null, retentionProblem: null };
  try {
    const record = await readRecord({ files: store.files, store }, path, LENGTH_MAX, (bytes) =>
      setRetentionFile.decode(bytes, 'checked'),
    );
    const known = await memory.look();
    const isOurs = record.set === set && known.isOurs(orderOf(record));
    const { set: _set, ...retention } = record;
    const advice = `to apply them here, set them again: "holdfast set change ${set} --keep-..."`;
    const foreign = `these rules were set on another host, and are not applied here; ${advice}`;
    const unknown =
      known.problem && `they are not applied: ${known.problem}; see "holdfast store adopt"`;
    return { retention, retentionProblem: isOurs ? null : (unknown ?? foreign) };
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return { retention: null, retentionProblem: cause.message };
  }
}

/** Those that are carried out; undefined: none. Rejects CORRUPT if there are some that are not. */
export async function rulesOf(place: Place, set: string): Promise<Retention | undefined> {
  const { retention, retentionProblem } = await shownRules(place, set);
  if (retentionProblem === null) return retention ?? undefined;
  throw new CatalogError('CORRUPT', `the retention of set "${set}": ${retentionProblem}`);
}

/** `backup retain`: by the rules that are given, or else by those of the set. */
export async function retainByRules(
  engine: Pick<Engine, 'store' | 'box' | 'memory'>,
  request: RequestOf<'backup/retain'>,
): Promise<ResultOf<'backup/retain'>> {
  return retain(engine, { ...request, retention: await wantedRules(engine, request) });
}

/** Rejects what `retainByRules` would reject each time. */
export async function checkRules(
  engine: Place,
  request: RequestOf<'backup/retain'>,
): Promise<void> {
  await readKnownSet(engine, request.set);
  checkRetention(await wantedRules(engine, request));
}

async function wantedRules(
  place: Place,
  { set, retention }: RequestOf<'backup/retain'>,
): Promise<Retention> {
  const rules = retention ?? (await rulesOf(place, set));
  if (rules) return rules;
  const advice = `give some (--keep-daily 7 ...), or set them: "holdfast set change ${set} --keep-daily 7"`;
  throw new SchemaError(['retention'], `set "${set}" has no retention rules: ${advice}`);
}

/** Rejects CORRUPT if the box cannot remember the rules: they would not be obeyed. */
export async function changeSet(
  engine: Place,
  { set, retention, keepAll }: RequestOf<'set/change'>,
): Promise<ResultOf<'set/change'>> {
  if ((retention === undefined) !== keepAll) {
    throw new SchemaError(['retention'], 'give either rules (--keep-daily 7 ...) or --keep-all');
  }
  if (retention) checkRetention(retention);
  await readKnownSet(engine, set);
  const { store, memory } = engine;
  const path = pathOf(engine, set);
  // Two at once would each settle their own rules in the memory, while the store has those of one of them.
  await using _turn = await leaseTurn(store, `set change ${set}`);
  if (retention) {
    const { problem } = await memory.look();
    if (problem !== undefined) {
      const what = `the retention of set "${set}" stays as it is: ${problem}`;
      throw new CatalogError('CORRUPT', `${what}; see "holdfast store adopt"`);
    }
    const record: SetRetention = { set, ...usedRules(retention) };
    const order = orderOf(record);
    // First the memory: a crash between the two leaves the old rules or the new ones.
    await memory.remember([order]);
    await putDurably(store.files, path, setRetentionFile.encode(record, 'checked'));
    await memory.settle([order]);
  } else {
    if (await store.files.stat(path)) await store.files.unlink(path);
    await store.files.syncDirectory(setDirectory(store, set));
    await memory.forget([{ kind: 'retention', name: set }]);
  }
  return { set, ...(await shownRules(engine, set)) };
}

function orderOf(record: SetRetention): Order {
  return { kind: 'retention', name: record.set, order: record };
}

function pathOf({ store }: Pick<Place, 'store'>, set: string): string {
  return join(setDirectory(store, set), 'retention.json');
}
