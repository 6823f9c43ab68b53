import { formatSize } from '../../lib/sizes.ts';
import { attachText } from '../../client/ready-text.ts';
import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: [],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const session = await call('session/show', { session: args[0]! });
    const { state, holder, set, point, created, takenBytes, listen, addresses, waits, attach } =
      session;
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
        ...(attach === null ? [] : ['', attachText(attach)]),
      ].join('\n'),
    );
  },
};
