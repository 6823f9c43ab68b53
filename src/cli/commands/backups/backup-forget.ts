import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: 'POINT',
  details: [
    'POINT is a whole ID: the beginning of one is not enough.',
    'Its blocks stay in the store until a sweep. Refused while a session runs from it. If the point was deleted by',
    'other means, "store check" no longer reports it after this command.',
  ],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const forgotten = await call('backup/forget', { point: args[0]! });
    output.result(forgotten, () => `Recovery point ${forgotten.point} is forgotten.`);
  },
};
