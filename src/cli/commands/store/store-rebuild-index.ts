import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: '',
  details: ['The index only says what the packs hold: it can be made again at any time.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const done = await call('store/rebuild-index', {});
    output.result(done, () => 'The index is rebuilt.');
  },
};
