import {
  archIn,
  drivesIn,
  exportsIn,
  guestSystemIn,
  jobsIn,
  memoryIn,
  nodesIn,
  processorsIn,
  propertiesIn,
  statusIn,
  tpmsIn,
  uuidIn,
} from '../../formats/wire/qmp-answers.ts';
import { textIn } from '../../formats/wire/qmp.ts';
import type { QmpCommand } from './lines.ts';

/** The commands of QEMU's monitor that Holdfast uses. */
export const QMP = {
  status: command('query-status', statusIn),
  uuid: command('query-uuid', uuidIn),
  target: command('query-target', archIn),
  drives: command('query-block', drivesIn),
  nodes: command('query-named-block-nodes', nodesIn),
  jobs: command('query-jobs', jobsIn),
  exports: command('query-block-exports', exportsIn),
  processors: command('query-cpus-fast', processorsIn),
  memory: command('query-memory-size-summary', memoryIn),
  tpms: command('query-tpm', tpmsIn),
  devices: command('qom-list', propertiesIn),
  textProperty: command('qom-get', (it) =>
    typeof it === 'string' ? textIn(it, 'a property') : '',
  ),
  numberProperty: command('qom-get', (it) => (typeof it === 'number' ? it : 0)),
  resume: command('cont', ignored),
  quit: command('quit', ignored),
  saveScreen: command('screendump', ignored),
  human: command('human-monitor-command', (it) => textIn(it, 'a text')),
  createImage: command('blockdev-create', ignored),
  addNode: command('blockdev-add', ignored),
  removeNode: command('blockdev-del', ignored),
  removeBitmap: command('block-dirty-bitmap-remove', ignored),
  dismissJob: command('job-dismiss', ignored),
  cancelJob: command('job-cancel', ignored),
  transaction: command('transaction', ignored),
  startServer: command('nbd-server-start', ignored),
  stopServer: command('nbd-server-stop', ignored),
  addExport: command('block-export-add', ignored),
  removeExport: command('block-export-del', ignored),
} as const;

/** Those of the guest agent. */
export const AGENT = {
  sync: 'guest-sync-delimited',
  ping: command('guest-ping', ignored),
  system: command('guest-get-osinfo', guestSystemIn),
  freeze: command('guest-fsfreeze-freeze', countIn),
  thaw: command('guest-fsfreeze-thaw', countIn),
} as const;

function command<R>(name: string, read: (answer: unknown) => R): QmpCommand<R> {
  return { name, read };
}

function ignored(): undefined {
  return undefined;
}

function countIn(answer: unknown): number {
  return typeof answer === 'number' ? answer : 0;
}

/** The answer as it came, besides. */
export function verbatim<R>({
  name,
  read,
}: QmpCommand<R>): QmpCommand<{ readonly value: R; readonly answer: unknown }> {
  return { name, read: (answer) => ({ value: read(answer), answer }) };
}
