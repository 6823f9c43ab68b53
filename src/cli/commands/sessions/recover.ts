import type { RecoverRequest } from '../../../engine/sessions/run-session.ts';
import type { Command, Context, Input } from '../../base/command.ts';
import { interrupted } from '../../base/interrupted.ts';
import { runServed } from '../../base/served-session.ts';
import { readyText } from '../../../client/ready-text.ts';
import { UsageError } from '../../base/command-errors.ts';

/** What means nothing without --nfs. */
const NFS_OPTIONS = {
  allow: { type: 'string', multiple: true },
  'nfs-listen': { type: 'string' },
  'nfs-port': { type: 'string' },
  'mount-port': { type: 'string' },
  'portmap-port': { type: 'string' },
  squash: { type: 'string' },
  'any-port': { type: 'boolean' },
  'nfs-read-only': { type: 'boolean' },
  'nfs-points': { type: 'boolean' },
} as const;

export const command: Command = {
  usage: 'POINT | --resume SESSION  [--nbd ADDRESS] [--nfs [--allow NETWORK ...]] [--boot]',
  details: [
    '--nbd ADDRESS      unix:PATH, tcp:HOST:PORT (port 0: any), fd:N (a socket of systemd); without it a',
    '                   socket of its own. Beyond this host use TLS:',
    '--tls-x509 DIR     server-cert.pem, server-key.pem; with ca-cert.pem clients need certificates',
    '--tls-psk FILE     lines of identity:key',
    '--nfs              as a directory of the NFS export /holdfast too, for this host only, or for:',
    '--allow NETWORK    an address or a network (10.0.0.0/24); may be given several times',
    '--nfs-listen ADDR  default: all addresses with --allow, else 127.0.0.1',
    '--nfs-port N, --mount-port N, --portmap-port N   2049, 20048 and 111 where it may, else 12049, 12048, 10111',
    '--squash none|root|all  users who are mapped to "nobody"; default: root; hypervisors connect as root: none',
    '--any-port         also from ports above 1023, which any user of a host may use',
    '--nfs-read-only    nothing can be written over NFS',
    '--nfs-points       the recovery points of the set too, to be read, in /holdfast/points',
    '--when-full pause|refuse  guests wait (the default), or get an error',
    '--boot             boots it in this terminal with QEMU, without a network',
    '--memory MIB       of that guest; default: 1024',
    '--accel kvm        instead of emulation',
    '--firmware uefi    instead of BIOS',
    '--detach           the service runs it; the command does not wait',
    'Runs until interrupted, which leaves the session as it is: "recover --resume" goes on with it,',
    '"session keep" makes it a recovery point, "session discard" throws it away.',
  ],
  options: {
    resume: { type: 'string' },
    nbd: { type: 'string' },
    'tls-x509': { type: 'string' },
    'tls-psk': { type: 'string' },
    nfs: { type: 'boolean' },
    ...NFS_OPTIONS,
    'when-full': { type: 'string' },
    detach: { type: 'boolean' },
    boot: { type: 'boolean' },
    memory: { type: 'string' },
    accel: { type: 'string' },
    firmware: { type: 'string' },
  },
  takes: [0, 1],
  async run(input, context) {
    const boot = bootOptions(input);
    const request = requestOf(input);
    if ((await context.service()) !== undefined) {
      const how = input.flag('boot') ? boot : input.flag('detach') ? 'detached' : 'attached';
      return runServed(request, how, context);
    }
    if (input.flag('detach')) {
      throw new UsageError('--detach needs the service: start holdfastd');
    }
    await runHere(request, input.flag('boot') ? boot : undefined, context);
  },
};

async function runHere(
  request: RecoverRequest,
  boot: ReturnType<typeof bootOptions> | undefined,
  { output, house, secrets, signal }: Context,
): Promise<void> {
  const { recover } = await import('../../../engine/sessions/run-session.ts');
  const options = { secrets, signal, report: output.report };
  await using session = await recover(await house(), request, options);
  const { ready } = session;
  if (boot) {
    output.say(`Session ${ready.session} of ${ready.point}`);
    if (output.json) output.result(ready, () => '');
    await session.boot({ ...boot, signal });
    return;
  }
  output.result(ready, () => readyText(ready));
  await interrupted(signal);
  output.say(`Session ${ready.session} can be resumed: holdfast recover --resume ${ready.session}`);
}

function requestOf(input: Input): RecoverRequest {
  const session = input.text('resume');
  const [point] = input.args;
  if ((session === undefined) === (point === undefined)) {
    throw new UsageError('recover what? Give either POINT or --resume SESSION');
  }
  const whenFull = oneOf(input, 'when-full', ['pause', 'refuse'] as const);
  const [x509, psk] = [input.text('tls-x509'), input.text('tls-psk')];
  if (x509 !== undefined && psk !== undefined) throw new UsageError('--tls-x509 or --tls-psk');
  return {
    listen: input.text('nbd'),
    nfs: nfsOf(input),
    what:
      session === undefined
        ? { kind: 'point', point: point!, whenFull }
        : { kind: 'resume', session },
    tls:
      x509 === undefined
        ? psk === undefined
          ? undefined
          : { kind: 'psk', path: psk }
        : { kind: 'x509', directory: x509 },
  };
}

function nfsOf(input: Input): RecoverRequest['nfs'] {
  if (!input.flag('nfs')) {
    const idle = Object.keys(NFS_OPTIONS).find((option) => input.has(option));
    // Else somebody would think that a session is guarded, or open, in a way in which it is not.
    if (idle !== undefined) throw new UsageError(`--${idle} goes with --nfs`);
    return undefined;
  }
  const ports = {
    nfs: portOf(input, 'nfs-port'),
    mount: portOf(input, 'mount-port'),
    portmap: portOf(input, 'portmap-port'),
  };
  const allow = input.texts('allow');
  return {
    allow: allow.length > 0 ? allow : undefined,
    host: input.text('nfs-listen'),
    ports,
    readOnly: input.flag('nfs-read-only'),
    points: input.flag('nfs-points'),
    squash: oneOf(input, 'squash', ['root', 'none', 'all'] as const),
    privilegedPorts: !input.flag('any-port'),
  };
}

function portOf(input: Input, option: string): number | undefined {
  const given = input.text(option);
  if (given === undefined) return undefined;
  if (!/^\d{1,5}$/.test(given) || Number(given) > 65_535) {
    throw new UsageError(`--${option}: a port, or 0 for any`);
  }
  return Number(given);
}

function bootOptions(input: Input) {
  const memoryMiB = Number(input.text('memory') ?? 1024);
  if (!Number.isInteger(memoryMiB) || memoryMiB < 16)
    throw new UsageError('--memory: MiB, a number');
  return {
    memoryMiB,
    accelerator: oneOf(input, 'accel', ['tcg', 'kvm'] as const),
    firmware: oneOf(input, 'firmware', ['bios', 'uefi'] as const),
  };
}

/** The first is meant where nothing is said. */
function oneOf<T extends string>(input: Input, option: string, values: readonly [T, ...T[]]): T {
  const given = input.text(option) ?? values[0];
  const found = values.find((it) => it === given);
  if (found === undefined) throw new UsageError(`--${option}: one of ${values.join(', ')}`);
  return found;
}
