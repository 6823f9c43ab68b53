import { showSession } from '../../control/sessions.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: [],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, house }) {
    const session = await showSession(await house(), args[0]!);
    const { state, holder, set, point, created, takenBytes, listen } = session;
    output.result(session, () =>
      [
        `session  ${session.session}`,
        `state    ${state}${holder === null ? '' : `: ${holder}`}`,
        `point    ${set}/${point}`,
        `created  ${created}`,
        `written  ${formatSize(takenBytes)}`,
        `exports  ${listen}`,
      ].join('\n'),
    );
  },
};
