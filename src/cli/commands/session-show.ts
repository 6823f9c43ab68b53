import { formatSize } from '../../lib/sizes.ts';
import { sessionState } from '../../client/session-state.ts';
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
    const { holder, set, point, created, takenBytes, listen, addresses, waits } = session;
    const { attach, overlay } = session;
    output.result(session, () =>
      [
        `session  ${session.session}`,
        `state    ${sessionState(session)}${holder === null ? '' : `: ${holder}`}`,
        `point    ${set}/${point}`,
        `created  ${created}`,
        `takes    ${formatSize(takenBytes)} on the disk of the store`,
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
  const written = `guests wrote ${formatSize(writtenBytes)} since the last start`;
  return `holds ${formatSize(liveBytes)}; ${written} (${times.toFixed(2)} bytes on the disk for each byte)`;
}
