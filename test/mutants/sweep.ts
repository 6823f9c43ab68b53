import type { Mutant } from './mutant.ts';

const PUT_BACK = 'test/store/sweep/put-back.test.ts';
const SWEEP = 'test/store/sweep/sweep-packs.test.ts';
const OBSTACLES = 'test/store/sweep/obstacles.test.ts';
const REMOVED = 'test/store/sweep/removed-packs.test.ts';
const INDEX = 'test/store/sweep/index-state.test.ts';

/** Guards without which a sweep would remove what is needed. */
export const sweep: readonly Mutant[] = [
  {
    name: 'sweep: a slice acts on the list from before it held the lock',
    file: 'src/store/sweep/sweep-packs.ts',
    text: 'const domains = await marks.renewed();',
    to: 'const domains = new Set(plans.result().domains.keys());',
    tests: [SWEEP],
  },
  {
    name: 'sweep: a slice does not hold the lock of the store',
    file: 'src/store/sweep/slice-lock.ts',
    text: 'return await lockStore(store, SWEEP_HOLDER);',
    to: 'return { async [Symbol.asyncDispose]() {} };',
    tests: [SWEEP],
  },
  {
    name: 'sweep: what could not be read does not hold a domain back',
    file: 'src/store/sweep/sweep-packs.ts',
    text: 'now.domains].filter((domain) => !blocked.has(domain))',
    to: 'now.domains].filter((domain) => !blocked.has(`-${domain}`))',
    tests: [OBSTACLES],
  },
  {
    name: 'sweep: a recovery point that is missing is taken for a forgotten one',
    file: 'src/catalog/removal/needed.ts',
    text: 'lost = await lostPoints(store, [...domains.keys()]);',
    to: 'lost = [];',
    tests: [OBSTACLES],
  },
  {
    name: 'sweep: space is given back before the dead frames are recorded',
    file: 'src/store/sweep/remove-frames.ts',
    text: 'for (const one of planned) await writeDead(store, one, false);',
    to: '',
    tests: [INDEX],
  },
  {
    name: 'sweep: the index does not forget dead frames',
    file: 'src/store/sweep/remove-frames.ts',
    text: 'planned.map(({ pack, dead }) => ({ pack, frames: dead })),',
    to: '[],',
    tests: [INDEX],
  },
  {
    name: 'sweep: an index that a power cut brings back does not forget dead frames',
    file: 'src/store/index/swept-stock.ts',
    text: '(await index.sweepMark()) === mark) return unknown;',
    to: '(await index.sweepMark()) !== "-") return unknown;',
    tests: [INDEX],
  },
  {
    name: 'sweep: the number of a removed pack is given again',
    file: 'src/store/index/stock.ts',
    text: '...marked, ...removed, written.last',
    to: '...marked, written.last',
    tests: [SWEEP],
  },
  {
    name: 'sweep: what an interrupted backup has stored goes at once',
    file: 'src/store/sweep/sweep-packs.ts',
    text: 'if (isShort) return false;',
    to: 'return false;',
    tests: [SWEEP],
  },
  {
    name: 'sweep: an older release may write to a store that was swept',
    file: 'src/store/sweep/sweep-packs.ts',
    text: "    await switchOn(store, 'swept');\n",
    to: '',
    tests: [SWEEP],
  },
  {
    name: 'check: what a sweep removes in the meantime is taken for damage',
    file: 'src/store/check/frame-checker.ts',
    text: 'bad.filter((it) => !isSwept(it.offset))',
    to: 'bad',
    tests: [OBSTACLES],
  },
  {
    name: 'sweep: what readers hold is not looked up',
    file: 'src/catalog/removal/needed.ts',
    text: '    roots.push(...held.roots);\n',
    to: '',
    tests: [OBSTACLES],
  },
  {
    name: 'sweep: a forgetting that a power cut may undo counts',
    file: 'src/catalog/removal/needed.ts',
    text: '      if (await store.files.stat(directory)) await store.files.syncDirectory(directory);\n',
    to: '',
    tests: [PUT_BACK],
  },
  {
    name: 'sweep: what is dead is alive once a recovery point needs it again',
    file: 'src/store/sweep/pack-plan.ts',
    text: 'if (wasDead || !isNeeded) bits',
    to: 'if (!isNeeded) bits',
    tests: [PUT_BACK],
  },
  {
    name: 'sweep: what a recovery point needs again is given back',
    file: 'src/store/sweep/remove-frames.ts',
    text: 'deadRanges(one.footer.entries, one.unneeded)',
    to: 'deadRanges(one.footer.entries, one.bits)',
    tests: [PUT_BACK],
  },
  {
    name: 'sweep: dead frames of a pack whose footer is damaged are found by its frames',
    file: 'src/store/index/swept-stock.ts',
    text: 'const footer = await packs.footer(pack);',
    to: 'const footer = { ...(await packs.contents(pack)), entriesCrc: 0 };',
    tests: [INDEX],
  },
  {
    name: 'sweep: the list of removed packs exists once',
    file: 'src/store/packs/removed-packs.ts',
    text: '[removedCopyPath, removedPath]',
    to: '[removedPath]',
    tests: [REMOVED],
  },
  {
    name: 'sweep: a lost pack that is needed counts as removed',
    file: 'src/store/sweep/mark.ts',
    text: ' && !unknown.has(pack)',
    to: '',
    tests: [REMOVED],
  },
  {
    name: 'sweep: a removed pack that a power cut brings back is referred to',
    file: 'src/store/index/stock.ts',
    text: '!removed.has(pack) && !wholePacks',
    to: '!wholePacks',
    tests: [REMOVED],
  },
];
