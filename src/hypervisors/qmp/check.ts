import type { QmpNode } from '../../formats/wire/qmp-answers.ts';
import type { BackupWish } from '../base/backup-driver.ts';
import { chooseDisks, leftFindings } from '../base/chosen-disks.ts';
import type { Finding } from '../base/finding.ts';
import { snapshotFindings } from '../base/snapshot-findings.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { QMP } from './commands.ts';
import { disksOf, type QemuDisk } from './disks.ts';
import { findMachines, type OpenMachine } from './machines.ts';
import { isHoldfasts, type QmpHost } from './qmp-host.ts';
import { agentRemedy } from './agent.ts';
import { whyNoAgent } from './quiet-guest.ts';
import { noPlace, scratchPath } from './scratch.ts';
import { BRIEF, internalSnapshots, keepsBitmaps } from './tracking.ts';
import { whyTooOld } from './version.ts';

/** What backups of any machine there need: that each can be told from the others, and answers. */
export async function checkHost(host: QmpHost, signal: AbortSignal): Promise<readonly Finding[]> {
  const machines = await findMachines(host, signal);
  return machines.flatMap(({ name, id, trouble }): readonly Finding[] => {
    const twin = machines.find((it) => it.id === id && it.name !== name);
    if (twin && name < twin.name) {
      const message = `${name} and ${twin.name} have the same UUID`;
      const remedy = 'start each with one of its own: "-uuid $(uuidgen)"';
      return [{ level: 'warning', code: 'identity', message, remedy }];
    }
    if (!trouble) return [];
    const { message } = trouble;
    if (trouble.code === 'UNREACHABLE') return [{ level: 'note', code: 'power', message }];
    const remedy = 'what the message says; the other machines are not affected';
    const code = trouble.code === 'UNSUPPORTED' ? 'identity' : 'reachable';
    return [{ level: 'warning', code, message, remedy }];
  });
}

/** What stands in the way of a backup of one machine, each with what to do about it. */
export async function checkMachine(
  host: QmpHost,
  { link, name, uuid }: OpenMachine,
  { wish, signal }: { readonly wish: BackupWish; readonly signal: AbortSignal },
): Promise<readonly Finding[]> {
  const drives = await link.call(QMP.drives, undefined, signal);
  const disks = await disksOf(link, drives, signal);
  const nodes = await link.call(QMP.nodes, { flat: true }, signal);
  const jobs = await link.call(QMP.jobs, undefined, signal);
  const exports = await link.call(QMP.exports, undefined, signal);
  const running = jobs.filter(({ status }) => status !== 'concluded').map(({ id }) => id);
  const tooOld = whyTooOld(link.version);
  return [
    ...(tooOld === undefined ? [] : [versionFinding(tooOld)]),
    ...diskFindings(host, { name, uuid, disks }, wish),
    ...(await agentFindings(host, name, { wish, signal })),
    ...snapshotFindings(internalSnapshots(disks), REMOVAL),
    ...foreignFindings(nodes),
    ...busyFindings(running, exports),
  ];
}

function versionFinding(message: string): Finding {
  return { level: 'blocker', code: 'version', message, remedy: 'upgrade QEMU' };
}

function diskFindings(
  host: QmpHost,
  machine: { readonly name: string; readonly uuid: string; readonly disks: readonly QemuDisk[] },
  wish: BackupWish,
): readonly Finding[] {
  try {
    const { read, left } = chooseDisks(machine, wish);
    return [
      ...leftFindings(left),
      ...read.flatMap((disk): readonly Finding[] => [
        // A backup that runs hides what is under it.
        ...(keepsBitmaps(disk.medium!.driver) || disk.medium!.driver === FILTER
          ? []
          : [briefFinding(disk)]),
        ...(scratchPath(host, machine.uuid, disk) === undefined ? [scratchFinding(disk.name)] : []),
      ]),
    ];
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    const remedy = 'see its disks: "query-block" at its monitor';
    return [{ level: 'blocker', code: 'disk-excluded', message: cause.message, remedy }];
  }
}

const FILTER = 'copy-before-write';

function briefFinding({ name, medium }: QemuDisk): Finding {
  return {
    level: 'warning',
    code: 'disk-format',
    disk: name,
    message: `its image is ${medium!.driver}: ${BRIEF}; the first backup after that reads all that is in use of it`,
    remedy: 'convert the image to qcow2 ("qemu-img convert", with the machine off)',
  };
}

function scratchFinding(disk: string): Finding {
  return {
    ...{ level: 'blocker', code: 'scratch-space', disk },
    message: noPlace(disk).message,
    remedy: 'name a directory: "holdfast hypervisor change NAME --scratch DIR"',
  };
}

async function agentFindings(
  host: QmpHost,
  name: string,
  { wish, signal }: { readonly wish: BackupWish; readonly signal: AbortSignal },
): Promise<readonly Finding[]> {
  if (wish.consistency === 'crash') return [];
  const why = await whyNoAgent(host, name, signal);
  if (why === undefined) return [];
  const remedy = await agentRemedy(host, name);
  const message = `${why}: its disks will be as after a power cut`;
  return [{ level: wish.fallBack ? 'warning' : 'blocker', code: 'agent', message, remedy }];
}

const REMOVAL =
  'delete them ("delvm NAME" at its monitor, or "qemu-img snapshot -d NAME IMAGE" while it is off)';

function foreignFindings(nodes: readonly QmpNode[]): readonly Finding[] {
  const names = nodes
    .flatMap(({ bitmaps }) => bitmaps.flatMap((it) => it.name ?? []))
    .filter((it) => !isHoldfasts(it) && it !== 'changed');
  if (names.length === 0) return [];
  return [
    {
      level: 'warning',
      code: 'foreign-tracking',
      message:
        `another program tracks its changes too (bitmap ${[...new Set(names)].slice(0, 3).join(', ')}). Holdfast ` +
        'leaves that alone, but other programs may refuse to go on beside ours',
      remedy: 'back it up with one program only',
    },
  ];
}

function busyFindings(running: readonly string[], exports: readonly string[]): readonly Finding[] {
  const [job] = running;
  if (job === undefined && exports.length === 0) return [];
  const message =
    job === undefined
      ? 'its QEMU serves disks over NBD already, and has only one server for that'
      : `a job runs in its QEMU (${job}), a backup or a copy`;
  const remedy = 'wait for its end, or end it: "query-jobs", "query-block-exports" at its monitor';
  return [{ level: 'blocker', code: 'busy', message, remedy }];
}
