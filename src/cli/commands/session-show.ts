import { formatSize } from '../../lib/sizes.ts';
import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: [],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const session = await call('session/show', { session: args[0]! });
    const { state, holder, set, point, created, takenBytes, listen, addresses, waits } = session;
    output.result(session, () =>
      [
        `session  ${session.session}`,
        `state    ${state}${holder === null ? '' : `: ${holder}`}`,
        `point    ${set}/${point}`,
        `created  ${created}`,
        `written  ${formatSize(takenBytes)}`,
        `exports  ${listen}`,
        ...addresses.map((it) => `also     ${it}`),
        ...(waits === null ? [] : [`waits    ${waits}`]),
      ].join('\n'),
    );
  },
};
