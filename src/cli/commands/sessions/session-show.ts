import { formatSize } from '../../../lib/sizes.ts';
import { sessionState } from '../../../client/session-state.ts';
import { attachText } from '../../../client/ready-text.ts';
import type { OverlayFigures } from '../../../operations/results.ts';
import type { Command } from '../../base/command.ts';

export const command: Command = {
  usage: 'SESSION',
  details: [
    'Shows where its disks are exported, how to attach them to a guest, and how much space it takes. Needs no key.',
  ],
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
  const written = `holds ${formatSize(liveBytes)}; guests wrote ${formatSize(writtenBytes)} since the last start`;
  if (writtenBytes === 0) return written;
  const times = (writtenBytes + copiedBytes) / writtenBytes;
  return `${written} (${times.toFixed(2)} bytes on the disk for each byte)`;
}
