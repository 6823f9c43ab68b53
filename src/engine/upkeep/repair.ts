import { leaseTurn } from '../../catalog/leases.ts';
import { setNames } from '../../catalog/sets.ts';
import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import type { RequestOf } from '../../operations/operations.ts';
import type { RepairResult, ScrubResult } from '../../operations/nouns/store.ts';
import { checkPacks } from '../../store/check/check.ts';
import { repairPacks } from '../../store/check/repair-packs.ts';
import { foreignCopies } from '../../store/check/own-copies.ts';
import type { Problem } from '../../store/check/problem.ts';
import type { Store } from '../../store/directory/store.ts';
import { lockStore, SCRUB_HOLDER } from '../../store/directory/store-lock.ts';
import { copiesDirectory } from '../../store/packs/copies-owner.ts';
import { StoreError } from '../../store/packs/store-error.ts';
import { rebuildIndex } from '../../store/write/store-writer.ts';
import { SystemError } from '../../sys/base/system-error.ts';
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
  const ofCopies = copyFailures(store);
  let open: Awaited<ReturnType<typeof openSets>>['open'] = [];
  let locked: readonly string[] = [];
  {
    await using _lock = dryRun ? undefined : await lockStore(store, 'store repair');
    const hasCopies = await ofCopies.look(changed);
    const records: RecordRepair = { changed, hasCopies, onMended, onLost, ...ofCopies };
    await repairSets(store, records);
    ({ open, locked } = await openSets(engine, secrets, ({ where, what }) => onLost(where, what)));
    for (const set of open) await mendOpenSet(store, set, records);
    for (const name of await setNames(store)) {
      const set = open.find((it) => it.name === name);
      // Points are forgotten without the store's lock: none may come back from its copy.
      await using _turn = dryRun ? undefined : await leaseTurn(store, 'store repair');
      await repairPoints(store, name, set, records);
    }
    await repairPacks({
      ...packsOf(store),
      ...{ changed, hasCopies, signal, onLost, ...ofCopies },
      onMended(where, isCopy) {
        if (!isCopy) isPackMended = true;
        onMended(where, isCopy);
      },
    });
  }
  // It remembers these packs as damaged or missing.
  if (isPackMended && !dryRun) await renewIndex(store, onLost);
  const [failure] = ofCopies.problems();
  if (failure) lost.push(failure);
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
  const hurt = await hurtDisks(engine, open, { signal, marks: !dryRun });
  const wanted = (await store.packs.wanted.list()).length;
  return { dryRun, mended, lost, locked, wanted, hurt, machines: machinesOf(hurt) };
}

/** What has been put back is reported, even where another process has just begun to write. */
async function renewIndex(store: Store, onLost: RecordRepair['onLost']): Promise<void> {
  try {
    await rebuildIndex(store, {});
  } catch (cause) {
    if (!(cause instanceof StoreError) || cause.code !== 'BUSY') throw cause;
    onLost(store.directory, `${cause.message}: run "store rebuild-index" afterwards`);
  }
}

export interface CopyRenewal {
  readonly open: Awaited<ReturnType<typeof openSets>>['open'];
  readonly signal: AbortSignal;
  /** See `WorkOptions`. */
  readonly giveWay?: (() => Promise<void>) | undefined;
}

/**
 * Makes second copies that are missing or differ; what is damaged itself is left as it is. Takes the store's lock for
 * one set or pack at a time, and ends early while another process writes to the store. Resolves with the problem if
 * copies cannot be written.
 */
export async function renewCopies(
  { store }: Engine,
  { open, signal, giveWay }: CopyRenewal,
): Promise<Problem[]> {
  const ofCopies = copyFailures(store);
  const turn = () => lockStore(store, SCRUB_HOLDER);
  try {
    const hasCopies = await ofCopies.look('copies');
    if (!hasCopies) return ofCopies.problems();
    const repairs = {
      changed: 'copies',
      hasCopies,
      onMended() {},
      onLost() {},
      ...ofCopies,
    } as const;
    {
      await using _lock = await turn();
      await repairSets(store, repairs);
      for (const set of open) await mendOpenSet(store, set, repairs);
    }
    for (const name of await setNames(store)) {
      signal.throwIfAborted();
      await giveWay?.();
      const set = open.find((it) => it.name === name);
      await using _lock = await turn();
      await using _turn = await leaseTurn(store, SCRUB_HOLDER);
      await repairPoints(store, name, set, repairs);
    }
    await repairPacks({ ...packsOf(store), ...repairs, signal, turn, pause: giveWay });
  } catch (cause) {
    const isBusy = cause instanceof StoreError && cause.code === 'BUSY';
    if (!isBusy && !(cause instanceof SystemError)) throw cause;
    if (!isBusy) ofCopies.onCopyFailed(cause.message);
  }
  return ofCopies.problems();
}

const packsOf = ({ files, directory, id, packs }: Store) => ({ files, directory, id, packs });

/** A disk of copies that fails is one problem, however many copies it refuses. */
function copyFailures(store: Store) {
  let found: string | undefined;
  return {
    /** Whether there may be copies. */
    async look(changed: RecordRepair['changed']): Promise<boolean> {
      found = await foreignCopies({ ...packsOf(store), changed });
      return found === undefined;
    },
    onCopyFailed(what: string): void {
      found ??= `second copies cannot be written: ${what}`;
    },
    problems: (): Problem[] =>
      found === undefined ? [] : [{ where: copiesDirectory(store.directory), what: found }],
  };
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
