import { remakeIndex } from '../../control/stores.ts';
import type { Command } from '../command.ts';

export const command: Command = {
  usage: '',
  details: ['The index only says what the packs hold: it can be made again at any time.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output, house }) {
    await remakeIndex(await house(), output.report);
    output.result({ rebuilt: true }, () => 'The index is rebuilt.');
  },
};
