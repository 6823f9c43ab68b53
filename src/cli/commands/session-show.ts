import { formatSize } from '../../lib/sizes.ts';
import { attachText } from '../../client/ready-text.ts';
import type { OverlayFigures } from '../../protocol/results.ts';
import type { Command } from '../command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: [],
  options: {},
  takes: [1, 1],
  async run({ args }, { output, call }) {
    const session = await call('session/show', { session: args[0]! });
    const { state, holder, set, point, created, takenBytes, listen, addresses, waits } = session;
    const { attach, overlay } = session;
    output.result(session, () =>
      [
        `session  ${session.session}`,
        `state    ${state}${holder === null ? '' : `: ${holder}`}`,
        `point    ${set}/${point}`,
        `created  ${created}`,
        `written  ${formatSize(takenBytes)}`,
        ...(overlay === null ? [] : [`overlay  ${overlayText(overlay)}`]),
        `exports  ${listen}`,
        ...addresses.map((it) => `also     ${it}`),
        ...(waits === null ? [] : [`waits    ${waits}`]),
        ...(attach === null ? [] : ['', attachText(attach)]),
      ].join('\n'),
    );
  },
};

/** How much more is written to the disk than guests write. */
function overlayText({ liveBytes, writtenBytes, copiedBytes }: OverlayFigures): string {
  const times = writtenBytes === 0 ? 1 : (writtenBytes + copiedBytes) / writtenBytes;
  const live = `${formatSize(liveBytes)} of pages as they are now`;
  return `${live}; ${formatSize(writtenBytes)} written since its start, to the disk ${times.toFixed(2)} times that`;
}
