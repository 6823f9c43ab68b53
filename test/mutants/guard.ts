import type { Mutant } from './mutant.ts';

export const guard: readonly Mutant[] = [
  {
    name: 'guard: a check that could not open all sets ends the alarm',
    file: 'src/engine/watch/monitor.ts',
    text: '  if (locked.length > 0) return;\n',
    to: '',
    tests: ['test/engine/watch/monitor.test.ts'],
  },
  {
    name: 'guard: a check that read less ends the alarm',
    file: 'src/engine/watch/monitor.ts',
    text: 'const over = readData ? Object.values(finds) : [finds.structure];',
    to: 'const over = Object.values(finds);',
    tests: ['test/engine/watch/monitor.test.ts'],
  },
  {
    name: 'guard: a clock that jumped is trusted before its alarm is on the disk',
    file: 'src/engine/watch/monitor.ts',
    text: "if ((await standingAlarms(world.files, directory, 'clock-jump')).length > 0)\n      await",
    to: 'await',
    tests: ['test/engine/watch/monitor.test.ts'],
  },
  {
    name: 'guard: messages that wait are taken from the store',
    file: 'src/engine/watch/monitor.ts',
    text: 'join(boxDirectory, OUTBOX, channel)',
    to: 'join(directory, OUTBOX, channel)',
    tests: ['test/engine/watch/monitor.test.ts'],
  },
];
