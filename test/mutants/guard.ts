import type { Mutant } from './mutant.ts';

export const guard: readonly Mutant[] = [
  {
    name: 'guard: a check that could not open all sets ends the alarm',
    file: 'src/control/guard.ts',
    text: '  if (locked.length > 0) return;\n',
    to: '',
    tests: ['test/control/guard.test.ts'],
  },
  {
    name: 'guard: a check that read less ends the alarm',
    file: 'src/control/guard.ts',
    text: 'const over = readData ? Object.values(finds) : [finds.structure];',
    to: 'const over = Object.values(finds);',
    tests: ['test/control/guard.test.ts'],
  },
  {
    name: 'guard: a clock that jumped is trusted before its alarm is on the disk',
    file: 'src/control/guard.ts',
    text: "if ((await standingAlarms(world.files, directory, 'clock-jump')).length > 0)\n      await",
    to: 'await',
    tests: ['test/control/guard.test.ts'],
  },
  {
    name: 'guard: messages that wait are taken from the store',
    file: 'src/control/guard.ts',
    text: 'join(boxDirectory, OUTBOX, channel)',
    to: 'join(directory, OUTBOX, channel)',
    tests: ['test/control/guard.test.ts'],
  },
];
