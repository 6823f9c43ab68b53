import { listDisks } from '../../host/disks/disks.ts';
import { factoryReset } from '../../host/lifecycle/factory-reset.ts';
import { endFirstBoot, isFirstBoot } from '../../host/lifecycle/first-boot.ts';
import { HostError } from '../../host/base/host-error.ts';
import { checkNetwork } from '../../host/network/network-check.ts';
import { NETWORK_PLACES } from '../../host/network/network-files.ts';
import { openNetwork } from '../../host/network/network.ts';
import { createPool } from '../../host/disks/pool.ts';
import { goDown } from '../../host/lifecycle/power.ts';
import { type RunProgram, runProgram } from '../../host/base/programs.ts';
import { setHost, setPassword, showHost } from '../../host/settings/settings.ts';
import { locked, lockPath } from '../../host/base/state-lock.ts';
import { runScript, scriptEnvironment } from '../../host/scripts/run-script.ts';
import { addKey, allowShell, removeKey, showSsh, sshOff, sshOn } from '../../host/settings/ssh.ts';
import { turns } from '../../lib/mutex.ts';
import {
  type HostOperationName,
  namesOf,
  OPERATIONS,
  type ResultOf,
} from '../../operations/operations.ts';
import { bootSockets } from '../../sys/net/socket-directory.ts';
import type { World } from '../../sys/world.ts';
import { bound, type Handlers, handlersFor, type HandlersOn } from '../base/call.ts';

/* Root's part of the work: in a small service of its own, or in a command that root runs. */

interface Host extends World {
  readonly run: RunProgram;
}

const network = (host: Host) => openNetwork({ ...host, places: NETWORK_PLACES });

const HANDLERS: HandlersOn<Host, HostOperationName> = {
  'network/show': (host) => network(host).show(),
  'network/change': (host, { seconds, ...wanted }) => network(host).change(wanted, seconds),
  'network/remove': (host, { name, seconds }) => network(host).remove(name, seconds),
  'network/confirm': (host) => network(host).confirm(),
  'network/revert': (host) => network(host).revert(),
  'network/reset': (host) => network(host).reset(),
  'network/test': async (host, { host: other }) => ({
    checks: await checkNetwork(host.run, await network(host).show(), other),
  }),
  'host/show': (host) => shownHost(host),
  async 'host/set'(host, request) {
    await setHost(host, request);
    return shownHost(host);
  },
  async 'host/finish-set-up'(host) {
    await endFirstBoot(host);
    return shownHost(host);
  },
  async 'host/password'(host, _request, { given }) {
    if (given?.kind !== 'passphrase') throw new HostError('BAD_REQUEST', 'no password was given');
    await setPassword(host, given.passphrase);
    return { isSet: true };
  },
  async 'host/reboot'(host, { reason }) {
    await goDown(host, 'reboot', reason);
    return { reason };
  },
  async 'host/poweroff'(host, { reason }) {
    await goDown(host, 'poweroff', reason);
    return { reason };
  },
  'host/factory-reset': (host, { confirm }) =>
    factoryReset(host, { network: network(host), clock: host.clock }, confirm),
  'ssh/show': (host) => showSsh(host, host.clock),
  async 'ssh/on'(host, { seconds }) {
    await sshOn(host, host.clock, seconds);
    return showSsh(host, host.clock);
  },
  async 'ssh/off'(host) {
    await sshOff(host);
    return showSsh(host, host.clock);
  },
  async 'ssh/shell'(host, { seconds }) {
    await allowShell(host, host.clock, seconds);
    return showSsh(host, host.clock);
  },
  'ssh-key/add': (host, { user, key }) => addKey(host, user, key),
  'ssh-key/remove': (host, { user, fingerprint }) => removeKey(host, user, fingerprint),
  'disk/list': async (host) => ({ disks: await listDisks(host) }),
  'pool/create': (host, request) => createPool(host, request),
  'verify/script': (host, { script, proof, seconds, ...about }, { signal }) =>
    runScript(host, {
      ...{ script, seconds, signal, sockets: bootSockets(proof).guest },
      environment: scriptEnvironment(about),
    }),
};

async function shownHost(host: Host): Promise<ResultOf<'host/show'>> {
  return { ...(await showHost(host)), isFirstBoot: await isFirstBoot(host) };
}

const FREE: ReadonlySet<HostOperationName> = new Set([
  ...(['host/reboot', 'host/poweroff', 'verify/script'] as const),
]);

/**
 * The lock under which an operation runs; undefined: none. Operations that read and rewrite state take turns. Making
 * a file system takes minutes: no other operation waits for it, and a second one is refused.
 */
function lockOf(name: HostOperationName): 'machine' | 'pool' | undefined {
  if (name === 'pool/create') return 'pool';
  // The network has a lock of its own; power must work in any state of the machine; a script changes nothing here.
  const isFree = name.startsWith('network/') || FREE.has(name);
  return OPERATIONS[name].access === 'change' && !isFree ? 'machine' : undefined;
}

export function hostHandlers(
  world: World,
  run: RunProgram = runProgram,
): Handlers<HostOperationName> {
  const host = { ...world, run };
  const own = bound(host, HANDLERS);
  const turn = turns();
  return handlersFor(namesOf('hostd'), (name, request, options) => {
    const work = () => own[name](request, options);
    const lock = lockOf(name);
    if (lock === undefined) return work();
    const place = { path: lockPath(lock), holder: `holdfast ${name.replace('/', ' ')}` };
    const alone = () => locked(world.files, place, work);
    return lock === 'machine' ? turn(alone) : alone();
  });
}

/** Called by the timer, and at the start of the machine. */
export async function revertNetwork(world: World, isBoot: boolean): Promise<void> {
  const it = network({ ...world, run: runProgram });
  if (isBoot) return it.revertFiles();
  await it.revert();
}
