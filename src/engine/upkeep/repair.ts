import { leaseTurn } from '../../catalog/leases.ts';
import { setNames } from '../../catalog/sets.ts';
import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import type { RequestOf } from '../../operations/operations.ts';
import type { RepairResult, ScrubResult } from '../../operations/nouns/store.ts';
import { checkPacks } from '../../store/check/check.ts';
import { repairPacks } from '../../store/check/repair-packs.ts';
import { lockStore } from '../../store/directory/store-lock.ts';
import { StoreError } from '../../store/packs/store-error.ts';
import { rebuildIndex } from '../../store/write/store-writer.ts';
import type { Engine, WorkOptions } from '../base/engine.ts';
import { openSets } from '../points/stores.ts';
import { hurtDisks } from './hurt-disks.ts';
import { mendOpenSet, type RecordRepair, repairPoints, repairSets } from './repair-records.ts';

/*
 * What exists twice is put back: packs of nodes, records of recovery points and sets. Blocks exist once: what is lost
 * of them is said, by machine, because the next backup stores again what the machine still has.
 */
export async function repair(
  engine: Engine,
  { dryRun }: RequestOf<'store/repair'>,
  { secrets, signal, report }: WorkOptions,
): Promise<RepairResult> {
  const { store } = engine;
  const mended: RepairResult['mended'][number][] = [];
  const lost: RepairResult['lost'][number][] = [];
  let isPackMended = false;
  const onMended = (where: string, isCopy: boolean): void =>
    void mended.push({ where, what: isCopy ? 'second copy' : 'put back from its copy' });
  const onLost = (where: string, what: string): void => void lost.push({ where, what });
  const changed = dryRun ? 'none' : 'all';
  const records: RecordRepair = { changed, onMended, onLost };
  let open: Awaited<ReturnType<typeof openSets>>['open'] = [];
  {
    await using _lock = dryRun ? undefined : await lockStore(store, 'store repair');
    await repairSets(store, records);
    ({ open } = await openSets(engine, secrets, ({ where, what }) => onLost(where, what)));
    for (const set of open) await mendOpenSet(store, set, records);
    for (const name of await setNames(store)) {
      const set = open.find((it) => it.name === name);
      // Points are forgotten without the store's lock: none may come back from its copy.
      await using _turn = dryRun ? undefined : await leaseTurn(store, 'store repair');
      await repairPoints(store, name, set, records);
    }
    await repairPacks({
      ...{ files: store.files, directory: store.directory, packs: store.packs, changed, signal },
      onMended(where, isCopy) {
        if (!isCopy) isPackMended = true;
        onMended(where, isCopy);
      },
      onLost,
    });
  }
  // It remembers these packs as damaged or missing.
  if (isPackMended && !dryRun) await rebuildIndex(store, {});
  const domains = new Map(open.map(({ record, keys }) => [hexOf(record.domain), keys]));
  const keysOf = (domain: Uint8Array): DomainKeys | undefined => domains.get(hexOf(domain));
  // Removes the marks of what is whole again.
  if (!dryRun) {
    await checkPacks(store.packs, {
      ...{ readData: false, keysOf, signal, onProblem() {} },
      onProgress: (position, total, readBytes) =>
        report({ event: 'progress', phase: 'packs', position, total, readBytes }),
    });
  }
  const hurt = await hurtDisks(engine, open, signal);
  const wanted = (await store.packs.wanted.list()).length;
  return { dryRun, mended, lost, wanted, hurt, machines: machinesOf(hurt) };
}

/**
 * Makes second copies that are missing or differ; what is damaged itself is left as it is. Resolves without having
 * done anything while another process writes to the store.
 */
export async function renewCopies(
  engine: Engine,
  open: Awaited<ReturnType<typeof openSets>>['open'],
  signal: AbortSignal,
): Promise<void> {
  const { store } = engine;
  const repairs = { changed: 'copies', onMended() {}, onLost() {} } as const;
  try {
    await using _lock = await lockStore(store, 'store scrub');
    await repairSets(store, repairs);
    for (const name of await setNames(store)) {
      const set = open.find((it) => it.name === name);
      await using _turn = await leaseTurn(store, 'store scrub');
      await repairPoints(store, name, set, repairs);
    }
    await repairPacks({
      ...{ files: store.files, directory: store.directory, packs: store.packs, signal },
      ...repairs,
    });
  } catch (cause) {
    if (!(cause instanceof StoreError) || cause.code !== 'BUSY') throw cause;
  }
}

/** The blocks that a full backup of each machine may store again: at most, since its points share some. */
function machinesOf(hurt: ScrubResult['hurt']): RepairResult['machines'] {
  const most = new Map<string, RepairResult['machines'][number]>();
  for (const { set, machine, blocks } of hurt) {
    const key = JSON.stringify([set, machine]);
    const before = most.get(key)?.blocks ?? 0;
    most.set(key, { set, machine, blocks: Math.max(before, blocks) });
  }
  return [...most.values()];
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
