import type { Mutant } from './mutant.ts';

const SCRUB = 'test/engine/upkeep/scrub.test.ts';
const REPAIR = 'test/engine/upkeep/repair.test.ts';

export const upkeep: readonly Mutant[] = [
  {
    name: 'scrub: the next run begins where this one did',
    file: 'src/engine/upkeep/scrub-pace.ts',
    text: 'next: pack + 1,',
    to: 'next: Math.min(1, pack),',
    tests: [SCRUB],
  },
  {
    name: 'scrub: a canceled run forgets its place',
    file: 'src/engine/upkeep/scrub.ts',
    text: 'if (signal.aborted) await save();',
    to: '',
    tests: [SCRUB],
  },
  {
    name: 'scrub: blocks of a lost pack are not marked',
    file: 'src/store/check/hurt-disks.ts',
    text: 'if (isMarking) await packs.want(entry);',
    to: '',
    tests: [SCRUB],
  },
  {
    name: 'scrub: a part that is hurt counts as whole for the disks that share it',
    file: 'src/store/check/hurt-disks.ts',
    text: 'if (isWhole) whole.add(reference, level);',
    to: 'whole.add(reference, level);',
    tests: [SCRUB],
  },
  {
    name: 'damage: a reader does not say whose disk it read',
    file: 'src/store/read/manifest-disk.ts',
    text: 'fetch: (block, priority) => shared.fetch(block, priority, hurt),',
    to: 'fetch: (block, priority) => shared.fetch(block, priority),',
    tests: ['test/interop/damaged-block.test.ts'],
  },
  {
    name: 'scrub: it does not give way to guests',
    file: 'src/engine/worker/giving-way.ts',
    text: 'if (now === seen) return;',
    to: 'return;',
    tests: ['test/engine/worker/giving-way.test.ts'],
  },
  {
    name: 'repair: a damaged copy is put in the place of a damaged pack',
    file: 'src/store/check/repair-packs.ts',
    text: 'copyDefect === undefined ? copy : await',
    to: 'copy ? copy : await',
    tests: [REPAIR],
  },
  {
    name: 'repair: a copy under its number replaces a pack of blocks, or another pack of nodes',
    file: 'src/store/check/whole-packs.ts',
    text: 'return one.trailer.entriesCrc !== two.trailer.entriesCrc || a.length !== b.length;',
    to: 'return false;',
    tests: [REPAIR],
  },
  {
    name: 'repair: the copies of another store are used',
    file: 'src/store/check/own-copies.ts',
    text: "if (owner === 'this' || owner === 'empty') return undefined;",
    to: 'return undefined;',
    tests: [REPAIR],
  },
  {
    name: 'repair: a forgotten point comes back',
    file: 'src/engine/upkeep/repair-records.ts',
    text: 'return head?.points.some((it) => it.id === id) ?? false;',
    to: 'return true;',
    tests: [REPAIR],
  },
  {
    name: 'repair: a dry run writes',
    file: 'src/store/check/repair-packs.ts',
    text: "if (changed === 'none') return;",
    to: '',
    tests: [REPAIR],
  },
  {
    name: 'copies: a point that is forgotten leaves its copy',
    file: 'src/catalog/removal/forget-point.ts',
    text: 'await dropRecordCopy(store, pointPath(store, { set, id }));',
    to: 'void dropRecordCopy;',
    tests: [REPAIR],
  },
  {
    name: 'copies: a disk of copies that fails stops a backup',
    file: 'src/store/directory/record-copies.ts',
    text: 'if (!(cause instanceof SystemError)) throw cause;',
    to: 'throw cause;',
    tests: [REPAIR],
  },
  {
    name: 'copies: links in their directories are not refused',
    file: 'src/store/directory/own-directories.ts',
    text: '  await lookAtCopies();\n',
    to: '  void lookAtCopies;\n',
    tests: ['test/store/directory/links.test.ts'],
  },
];
