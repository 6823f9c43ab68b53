import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'POINT',
  details: [
    'POINT is a whole ID: the beginning of one is not enough.',
    'Its blocks stay in the store until a sweep. Refused while a session runs from it. One that was deleted by other',
    'means, which "store check" reports, is not reported any longer then.',
  ],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const forgotten = await call('backup/forget', { point: args[0]! });
    output.result(forgotten, () => `Recovery point ${forgotten.point} is forgotten.`);
  },
};
