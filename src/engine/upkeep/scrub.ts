import { readCopies } from '../../catalog/set-copies.ts';
import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import { HURT_MAX, scrubFile, type ScrubPass } from '../../formats/store/service/scrub.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { RequestOf } from '../../operations/operations.ts';
import type { ScrubResult } from '../../operations/nouns/store.ts';
import { type CheckedPack, checkPacks } from '../../store/check/check.ts';
import { missingPackProblems, missingPacks } from '../../store/index/missing-packs.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import type { Engine, WorkOptions } from '../base/engine.ts';
import { readScrub, scrubPath } from './scrub-record.ts';
import { advanced, dueShare, newPass } from './scrub-pace.ts';
import { openSets, problemList } from '../points/stores.ts';
import { hurtDisks } from './hurt-disks.ts';
import { renewCopies } from './repair.ts';

/*
 * Rot is found while it can still be mended: everything is read again within a chosen time, a part by each run. How
 * far a pass has come is kept in the store (formats/store/service/scrub.md).
 */

/** After a crash, at most what was read in this time is read again. */
const SAVE_EVERY_MS = 1000;
/** The most disks that are listed. */
const LISTED_MAX = 1000;

export async function scrub(
  engine: Engine,
  { period }: RequestOf<'store/scrub'>,
  { secrets, signal, report, giveWay }: WorkOptions,
): Promise<ScrubResult> {
  const { store } = engine;
  const { clock, packs } = store;
  const { problems, onProblem, end } = problemList(store.directory);
  const { open, locked } = await openSets(engine, secrets, onProblem);
  const domains = new Map(open.map(({ record, keys }) => [hexOf(record.domain), keys]));
  const keysOf = (domain: Uint8Array): DomainKeys | undefined => domains.get(hexOf(domain));
  const before = await readScrub(store, store.directory);
  const missing = await missingPacks(store);
  const sizes = await packs.sizes();
  const allBytes = sumOf([...sizes.values()]);
  const now = clock.now();
  const isNew = before.pass === undefined || before.pass.ended !== undefined;
  const share = dueShare(before, { now, period });
  let pass: ScrubPass | undefined = isNew && share > 0 ? newPass(now) : before.pass;
  let hurt = before.hurt;
  let [count, bytes] = [0, 0];
  let readBytes = sumOf([...sizes].map(([pack, size]) => (pass && pack < pass.next ? size : 0)));
  const unverified = new Map<string, number>();

  let counted = 0;
  /** The problems of this run count for the pass, also if it is canceled. */
  function countProblems(): void {
    if (!pass || pass.ended !== undefined) return;
    pass = { ...pass, problems: pass.problems + problems.length - counted };
    counted = problems.length;
  }
  async function save(): Promise<void> {
    countProblems();
    const lastRun = clock.now().toISOString();
    const record = scrubFile.encode({ pass, lastRun, hurt }, 'checked');
    await putDurably(store.files, scrubPath(store.directory), record);
  }
  let savedMs = clock.monotonicMs();
  async function onPack(it: CheckedPack): Promise<boolean> {
    const domain = it.header && hexOf(it.header.domain);
    const isOpened = domain !== undefined && domains.has(domain);
    if (!isOpened && it.frames > 0) {
      const key = domain ?? '';
      unverified.set(key, (unverified.get(key) ?? 0) + it.frames);
    }
    count++;
    bytes += it.bytes;
    readBytes += it.bytes;
    pass = advanced(pass!, it, isOpened);
    if (clock.monotonicMs() - savedMs >= SAVE_EVERY_MS) {
      await save();
      savedMs = clock.monotonicMs();
    }
    return readBytes < share * allBytes || share >= 1;
  }
  const isDue = pass !== undefined && pass.ended === undefined && readBytes < share * allBytes;
  if (isDue || (share >= 1 && pass?.ended === undefined)) {
    try {
      await checkPacks(packs, {
        ...{ readData: true, keysOf, signal, onProblem, onPack, from: pass!.next },
        async pause() {
          signal.throwIfAborted();
          await giveWay?.();
        },
        onProgress: (position, total) =>
          report({ event: 'progress', phase: 'packs', position, total, readBytes: bytes }),
      });
    } catch (cause) {
      // The place is kept when a person cancels it, or the service stops.
      if (signal.aborted) await save();
      throw cause;
    }
  }
  const isAllOpen = locked.length === 0;
  for (const it of isAllOpen ? [] : await missingPackProblems(store, missing)) onProblem(it);
  const isHurt = missing.length > 0 || (await packs.wanted.list()).length > 0;
  const disks = isHurt ? await hurtDisks(engine, open, { signal, marks: true }) : [];
  for (const { point, disk, blocks, nodes } of disks) {
    const what = `${blocks} blocks and ${nodes} parts of the manifest cannot be read`;
    onProblem({ where: `${point}/${disk}`, what });
  }
  end();
  hurt = hurtLines(disks);
  if (pass && pass.ended === undefined) {
    const { next } = pass;
    const isOver = [...sizes.keys()].every((pack) => pack < next);
    // Whatever becomes of the copies, all has been read.
    await save();
    if (isOver) {
      problems.push(...(await renewCopies(engine, { open, signal, giveWay })));
      countProblems();
      pass = { ...pass, ended: clock.now().toISOString() };
    }
  }
  await save();
  return {
    ...{ started: pass?.started ?? null, ended: pass?.ended ?? null, packs: count, bytes },
    donePacks: [...sizes.keys()].filter((pack) => pass && pack < pass.next).length,
    allPacks: sizes.size,
    ...{ opened: pass?.opened ?? 0, summed: pass?.summed ?? 0, found: pass?.problems ?? 0 },
    unverified: await whyUnverified(engine, unverified, locked),
    ...{ problems, wanted: (await packs.wanted.list()).length, hurt: disks.slice(0, LISTED_MAX) },
  };
}

const sumOf = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);

function hurtLines(disks: ScrubResult['hurt']): string[] {
  const lines = disks
    .slice(0, HURT_MAX)
    .map(
      ({ set, point, disk, bytes }) =>
        `${set}/${point}/${disk} (${formatSize(bytes)} cannot be read)`,
    );
  const more = disks.length - lines.length;
  return more > 0 ? [...lines, `${more} more`] : lines;
}

/** By the domains of packs whose keys are not known. */
async function whyUnverified(
  { store }: Engine,
  frames: ReadonlyMap<string, number>,
  locked: readonly string[],
): Promise<ScrubResult['unverified']> {
  const names = new Map<string, string>();
  for (const name of locked) {
    const { record } = await readCopies(store, name);
    if (record) names.set(hexOf(record.domain), name);
  }
  return [...frames].map(([domain, count]) => {
    const name = names.get(domain);
    const why = 'only their checksums were verified';
    return {
      what: `${count} blocks and nodes of ${name === undefined ? 'an unknown set' : `set "${name}"`}`,
      why:
        name === undefined
          ? `the store has no set whose key opens them: ${why}`
          : `the key of the set was not given: ${why}`,
    };
  });
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
