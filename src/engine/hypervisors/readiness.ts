import type { Finding, FindingCode } from '../../hypervisors/base/finding.ts';
import type { BackupWish } from '../../hypervisors/base/backup-driver.ts';
import type { Hypervisor } from '../../hypervisors/base/hypervisor.ts';
import type { MachineSummary } from '../../hypervisors/base/machines.ts';
import {
  HypervisorError,
  type HypervisorErrorCode,
} from '../../hypervisors/base/hypervisor-error.ts';
import type { ShownFinding } from '../../operations/nouns/hypervisor.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { Engine } from '../base/engine.ts';
import { connect, type ConnectOptions } from './connect.ts';
import type { Hypervisors } from './hypervisors.ts';

/* Whether backups from a hypervisor can begin: found out before the first one, without changing anything. */

/** What a backup asks for, if nothing else is said. */
export const WISH: BackupWish = {
  ...{ only: undefined, exclude: [] },
  ...{ consistency: 'file-system', fallBack: true },
};

export async function readiness(
  hypervisors: Hypervisors,
  engine: () => Promise<Engine>,
  { hypervisor, machine }: RequestOf<'hypervisor/test'>,
  signal: AbortSignal,
): Promise<ResultOf<'hypervisor/test'>> {
  // Only machines have marks of a store: a hypervisor can be tested before there is one.
  const owner = machine === undefined ? '' : (await engine()).store.id;
  const options = { owner, signal };
  const findings = await found(hypervisors, { hypervisor, machine }, options);
  return { hypervisor, ready: findings.every(({ level }) => level !== 'blocker'), findings };
}

async function found(
  hypervisors: Hypervisors,
  { hypervisor, machine }: RequestOf<'hypervisor/test'>,
  options: ConnectOptions,
): Promise<readonly ShownFinding[]> {
  let opened: Hypervisor;
  try {
    opened = await connect(hypervisors, hypervisor, options);
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    return [refusal(cause, hypervisor)];
  }
  await using it = opened;
  const { product, host } = it.facts;
  const answered: Finding = {
    level: 'note',
    code: 'reachable',
    message: `${host} answers: ${product}`,
  };
  const { signal } = options;
  return [
    answered,
    ...(await it.check(signal)),
    ...(machine === undefined ? [] : await machineFindings(it, machine, signal)),
  ].map(shownFinding);
}

/** By its name or ID. */
async function machineFindings(
  it: Hypervisor,
  machine: string,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const { id } = machineNamed(it, await it.machines(signal), machine);
  return it.backup.check(id, WISH, signal);
}

/** By its name or ID. Throws NOT_FOUND. */
export function machineNamed(
  { facts }: Hypervisor,
  machines: readonly MachineSummary[],
  machine: string,
): MachineSummary {
  const found = machines.find(({ name, id }) => name === machine || id === machine);
  if (found) return found;
  throw new HypervisorError('NOT_FOUND', `${facts.host} has no machine "${machine}"`);
}

export function shownFinding(finding: Finding): ShownFinding {
  const { level, code, disk = null, message, remedy = null } = finding;
  return { level: level === 'note' ? 'ok' : level, code, disk, message, remedy };
}

/** The condition that is not met if a connection fails so. */
const CONDITION = {
  UNREACHABLE: 'reachable',
  AUTH: 'rights',
  IDENTITY: 'identity',
  DENIED: 'rights',
  NOT_FOUND: 'reachable',
  EXISTS: 'reachable',
  BUSY: 'busy',
  NO_SPACE: 'scratch-space',
  UNSUPPORTED: 'version',
  LICENCE: 'version',
  LOST: 'reachable',
  CONFLICT: 'reachable',
  FAILED: 'reachable',
} as const satisfies Record<HypervisorErrorCode, FindingCode>;

function refusal({ code, message }: HypervisorError, hypervisor: string): ShownFinding {
  const remedy =
    code === 'AUTH' || code === 'DENIED'
      ? `the steps that "holdfast hypervisor show ${hypervisor}" prints`
      : code === 'UNREACHABLE'
        ? 'see whether it runs, whether its address is right and whether a firewall is in between'
        : null;
  return { level: 'blocker', code: CONDITION[code], disk: null, message, remedy };
}
