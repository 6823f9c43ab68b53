import { sessionState } from '../../client/session-state.ts';
import { attachText, readyText } from '../../client/ready-text.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { OverlayFigures, ShownSession } from '../../operations/nouns/session.ts';
import { table } from '../base/output.ts';
import type { Renders } from './render.ts';

export const render = {
  'session/list': {
    text: ({ sessions }) =>
      table(
        ['SESSION', 'STATE', 'POINT', 'CREATED', 'TAKES'],
        sessions.map((it) => [
          it.session,
          sessionState(it),
          it.point,
          it.created,
          formatSize(it.takenBytes),
        ]),
      ),
    say: ({ damaged }) => damaged.map(({ reason }) => `DAMAGED ${reason}`),
  },
  'session/show': sessionText,
  'session/log': ({ lines }) => lines.map(({ time, message }) => `${time}  ${message}`).join('\n'),
  'session/finalize': ({ session, disks }) =>
    [
      `Session ${session} has ended. Its disks:`,
      ...disks.map(({ disk, to, format, writtenBytes }) => {
        const what =
          writtenBytes === 0 ? 'verified' : `${formatSize(writtenBytes)} written and verified`;
        return `  ${disk}  ${to}, ${format} (${what})`;
      }),
    ].join('\n'),
  'session/resume': (ready) =>
    readyText(ready, `The service runs it; "holdfast session stop ${ready.session}" ends it.`),
} satisfies Renders;

function sessionText(session: ShownSession): string {
  const { holder, set, point, created, takenBytes, listen, addresses, waits } = session;
  const { attach, overlay } = session;
  return [
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
  ].join('\n');
}

/** The bytes written to the disk per byte that guests write. */
function overlayText({ liveBytes, writtenBytes, copiedBytes }: OverlayFigures): string {
  const written = `holds ${formatSize(liveBytes)}; guests wrote ${formatSize(writtenBytes)} since the last start`;
  if (writtenBytes === 0) return written;
  const times = (writtenBytes + copiedBytes) / writtenBytes;
  return `${written} (${times.toFixed(2)} bytes on the disk for each byte)`;
}
