import { CatalogError } from '../../catalog/catalog-error.ts';
import { type OpenSet, renamedSet, setNames, unlockSet } from '../../catalog/sets.ts';
import { isSealedBy, type SetRecord } from '../../formats/store/catalog/set-record.ts';
import type { ByteSource } from '../../ingest/exports/export-reader.ts';
import { type ImportSet, importExport } from '../../ingest/exports/read-import.ts';
import { clash, requireSameKind } from '../../ingest/exports/same-set.ts';
import type { Damage } from '../../operations/nouns/backup.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { damageNotice } from '../base/damage-notice.ts';
import {
  type Engine,
  openSet,
  readKnownSet,
  readSecret,
  type SecretSource,
  whereNeeded,
  type WorkOptions,
} from '../base/engine.ts';
import { checkRemembered, rememberSet } from '../base/remembered-sets.ts';
import { openExport } from './exports.ts';
import { knownPoint, notePublished } from './published-points.ts';

/* Recovery points of an export, brought into the store. */

type Request = RequestOf<'backup/import'>;
type Result = ResultOf<'backup/import'>;

export async function importFile(
  engine: Engine,
  request: Request,
  options: WorkOptions,
): Promise<Result> {
  await using source = await openExport(engine.store.files, request.file);
  return await importFrom(engine, request, options, { read: source.read, size: source.size });
}

/** `size` 0: not known. Rejects EXISTS for a set of that name with other keys. */
export async function importFrom(
  engine: Engine,
  { set: only, as, dryRun: isDryRun }: Omit<Request, 'file'>,
  { secrets, signal, report }: WorkOptions,
  { read, size }: { readonly read: ByteSource; readonly size: number },
): Promise<Result> {
  const sets: Result['sets'][number][] = [];
  const damage: Damage[] = [];
  const notice = (message: string): void => report({ event: 'notice', message });

  async function setFor(record: SetRecord): Promise<ImportSet | undefined> {
    const { name: from } = record;
    if (only !== undefined && only !== from) return undefined;
    if (as !== undefined && sets.length > 0) {
      const names = [...sets.map((it) => it.from), from].join(', ');
      const what = `the file has several backup sets (${names}), and --as gives a name to one`;
      throw new CatalogError('AMBIGUOUS', `${what}: say which one with --set`);
    }
    const { set, isNew } = await setHere(engine, record, as ?? from, whereNeeded(secrets));
    sets.push({ set: set.name, from, isNew, encrypted: record.slots.length > 0 });
    return { name: from, set };
  }
  /** A file without what the key was given for is not the one that was meant. */
  async function onSets(): Promise<void> {
    if (sets.some(({ encrypted }) => encrypted)) return;
    for (const { from } of sets) {
      if ((await secrets(from, 'if given')) === undefined) continue;
      const what = `set "${from}" of the file claims not to be encrypted, but a key was given`;
      const advice =
        'if it never was encrypted, give no key; otherwise it was replaced: do not trust the file';
      throw new CatalogError('WRONG_KEY', `${what}: ${advice}. Nothing was imported`);
    }
  }
  const done = await importExport(engine.store, read, {
    ...{ setFor, onSets, isDryRun, signal },
    onNotice: notice,
    knownPoint: (set, machine) => knownPoint(engine, { set: set.name, machine }),
    async onPublished(set, { id }) {
      await rememberSet(engine.memory, set.record);
      await notePublished(engine, set, id, notice);
    },
    onProgress(position, expected, storedBytes) {
      const total = size > 0 ? size : expected;
      const phase = isDryRun ? 'check' : 'import';
      report({ event: 'progress', phase, position, total, readBytes: position, storedBytes });
    },
    onStoreDamage(where, what) {
      damage.push({ where, what });
      notice(damageNotice({ where, what }));
    },
  });
  if (only !== undefined && sets.length === 0) {
    throw new CatalogError('NOT_FOUND', `the file has no backup set "${only}"`);
  }
  return {
    sets,
    points: done.points.map(({ id, reason = null, ...rest }) => ({ ...rest, point: id, reason })),
    ...{ fileDamage: done.damage, moreDamage: done.moreDamage },
    ...{ storedBytes: done.storedBytes, damage },
  };
}

/** The set of this store that the points of the file's set go to. */
async function setHere(
  engine: Engine,
  record: SetRecord,
  name: string,
  secrets: SecretSource,
): Promise<{ readonly set: OpenSet; readonly isNew: boolean }> {
  const { store, memory } = engine;
  if (!(await setNames(store)).includes(name)) {
    checkRemembered({ ...record, name }, await memory.look());
    const given = await secrets(record.name, record.slots.length > 0 ? 'needed' : 'if given');
    const open = await unlockSet(record, given && readSecret(given));
    const isRenamed = name !== record.name || !record.seal;
    return { set: isRenamed ? renamedSet(open, name) : open, isNew: true };
  }
  requireSameKind(await readKnownSet(engine, name), record, name);
  const set = await openSet(engine, name, secrets);
  const hasOtherKey = record.seal !== undefined && !isSealedBy(record, set.keys.record);
  if (hasOtherKey) throw clash(name, 'has another key');
  return { set, isNew: false };
}
