import { sessionState } from '../../client/session-state.ts';
import { downtimeText } from '../../client/downtime-text.ts';
import { placedDiskText } from '../../client/placed-text.ts';
import { attachText, readyText } from '../../client/ready-text.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { PlacedAnswer, PlacedMachine } from '../../operations/nouns/placed.ts';
import type { OverlayFigures, ShownSession } from '../../operations/nouns/session.ts';
import { SessionDiscarded } from '../base/command-errors.ts';
import { table } from '../base/output.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { findingsTable } from './hypervisor.ts';
import type { Renders } from './render.ts';
import { writtenLines } from './written-disks.ts';

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
  'session/run': runText,
  'session/migrate'(answer, request) {
    const { cancel, offline } = request;
    if (cancel) return `The migration is canceled. ${stateText(answer)}`;
    if (answer.downtime) return downtimeText(request, answer.downtime);
    const how = offline ? ' while the machine is off' : '';
    return `The disks migrate${how}; then the session ends by itself. ${stateText(answer)}`;
  },
  'session/power': stateText,
  'session/retry': stateText,
  'session/abandon': ({ session }) =>
    `Session ${session} is abandoned. What is left on its hypervisor is removed once the hypervisor can be reached.`,
  'session/discard': ({ session, waits }) =>
    waits === null
      ? `Session ${session} is discarded.`
      : `Session ${session} will be discarded as soon as it no longer waits: ${waits}`,
  'session/attend': {
    text: ({ session, ended }) => `Session ${session} ${ENDS[ended]}`,
    failure: ({ session, ended }) =>
      ended === 'discarded' ? new SessionDiscarded(`session ${session} was discarded`) : undefined,
  },
  'session/log': ({ lines }) => lines.map(({ time, message }) => `${time}  ${message}`).join('\n'),
  'session/finalize': ({ session, disks }) =>
    [`Session ${session} has ended. Its disks:`, ...writtenLines(disks)].join('\n'),
  'session/resume': (ready) =>
    readyText(ready, `The service runs it; "holdfast session stop ${ready.session}" ends it.`),
} satisfies Renders;

const ENDS = {
  kept: 'has ended: it was kept as a recovery point.',
  finalized: 'has ended: its disks are in permanent storage.',
  moved: 'has ended: all disks of its machine are on its hypervisor.',
  discarded: 'has ended: it was discarded.',
  stopped: 'is stopped, and can be resumed.',
  unknown: 'has ended.',
} as const satisfies Record<ResultOf<'session/attend'>['ended'], string>;

function stateText({ session, state, waits }: PlacedAnswer): string {
  return waits === null ? `Session ${session}: ${state}` : `Session ${session} waits: ${waits}`;
}

function runText({ run, sessions, findings }: ResultOf<'session/run'>): string {
  const warnings = findings.filter(({ level }) => level !== 'ok');
  return [
    ...(warnings.length === 0 ? [] : [findingsTable(warnings), '']),
    ...sessions.map(({ session, point, hypervisor, machine, waits }) =>
      waits === null
        ? `Session ${session}: machine ${machine} of ${point} is on ${hypervisor}.`
        : `Session ${session} (machine ${machine}) waits: ${waits}`,
    ),
    run === null
      ? `To see its progress: holdfast session show ${sessions[0]!.session}`
      : 'To see their progress: holdfast session list',
  ].join('\n');
}

function placedText(placed: PlacedMachine): readonly string[] {
  const { hypervisor, machine, id, goal, power, heartbeat, pool, writes, disks, waits, run } =
    placed;
  const agent = heartbeat === true ? ', its agent answers' : '';
  return [
    `machine  ${machine} on ${hypervisor}${id === null ? ', not there yet' : ` (${id})`}`,
    ...(power === null ? [] : [`power    ${power}${agent}`]),
    ...(run === null
      ? []
      : [`run      ${run.run}${run.after === null ? '' : `, after ${run.after}`}`]),
    `goal     ${goal}${pool === null ? '' : `; pool ${pool}`}`,
    ...(writes === 'here' ? [] : [`writes   in the pool ${pool} of ${hypervisor}, and not here`]),
    ...disks.map((it) => `disk     ${it.disk}  ${placedDiskText(it)}`),
    ...(waits === null ? [] : [`since    ${waits.since} (${waits.reason})`]),
  ];
}

function sessionText(session: ShownSession): string {
  const { holder, set, point, created, takenBytes, listen, addresses, waits } = session;
  const { attach, overlay, placed } = session;
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
    ...(placed === null ? [] : placedText(placed)),
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
