import { argument, chosen, flag, option } from '../../base/rows.ts';
import type { RecoverRequest } from '../../../engine/sessions/run-session.ts';
import type { Command, Context, Input } from '../../base/command.ts';
import { interrupted } from '../../base/interrupted.ts';
import { runServed } from '../../base/served-session.ts';
import { readyText } from '../../../client/ready-text.ts';
import { UsageError } from '../../base/command-errors.ts';

/** Options that need --nfs. */
const NFS_OPTIONS = [
  option('allow', 'NETWORK', 'an address or a network (10.0.0.0/24); default: this host only', {
    kind: 'list',
  }),
  option(
    'nfs-listen',
    'ADDR',
    'address of the NFS server; default: all with --allow, else 127.0.0.1',
  ),
  option('nfs-port', 'N', 'default: 2049 if permitted, else 12049'),
  option('mount-port', 'N', 'default: 20048 if permitted, else 12048'),
  option('portmap-port', 'N', 'default: 111 if permitted, else 10111'),
  option(
    'squash',
    'none|root|all',
    'users who are mapped to user 65534; default: root; hypervisors connect as root: none',
    {
      words: ['none', 'root', 'all'],
    },
  ),
  flag('any-port', 'also allow ports of clients above 1023, which any user of a host can use'),
  flag('nfs-read-only', 'allow no writes over NFS'),
  flag('nfs-points', 'also show the recovery points of the set, read-only, in /holdfast/points'),
];

export const command: Command = {
  summary: 'Recover a machine: run it from a recovery point',
  about: [
    'Exports the disks of the recovery point over NBD until interrupted. The session stays afterwards: ' +
      '"recover --resume" resumes it, "session keep" saves it as a new recovery point, "session discard" ' +
      'discards it. For clients on other hosts use TLS.',
  ],
  args: [
    argument('POINT', 'the recovery point, unless --resume is given', {
      isRequired: false,
      names: ['points'],
    }),
  ],
  options: [
    option('resume', 'SESSION', 'resume this session, instead of a recovery point', {
      names: ['sessions'],
    }),
    option(
      'nbd',
      'ADDRESS',
      'unix:PATH, tcp:HOST:PORT (port 0: any), fd:N (a socket of systemd); default: a socket of its own',
    ),
    option(
      'tls-x509',
      'DIR',
      'server-cert.pem, server-key.pem; with ca-cert.pem clients need certificates',
    ),
    option('tls-psk', 'FILE', 'lines of identity:key'),
    flag('nfs', 'also export over NFS, as a directory of /holdfast'),
    ...NFS_OPTIONS,
    option(
      'when-full',
      'pause|refuse',
      'if the disk is full, guests wait (the default) or get an error',
      {
        words: ['pause', 'refuse'],
      },
    ),
    flag('boot', 'boot the machine in this terminal with QEMU, without a network'),
    option('memory', 'MIB', 'with --boot: memory of the guest; default: 1024'),
    option('accel', 'tcg|kvm', 'with --boot: emulation (the default) or hardware', {
      words: ['tcg', 'kvm'],
    }),
    option('firmware', 'bios|uefi', 'with --boot: firmware of the guest', {
      words: ['bios', 'uefi'],
    }),
    flag('detach', 'let the service run the session, and do not wait for its end'),
  ],
  examples: [
    'recover web1@latest --boot',
    'recover web1@latest --detach --nfs --allow 10.0.0.0/24 --squash none',
  ],
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
  { output, engine, secrets, signal }: Context,
): Promise<void> {
  const { recover } = await import('../../../engine/sessions/run-session.ts');
  const options = { secrets, signal, report: output.report };
  await using session = await recover(await engine(), request, options);
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
  const whenFull = chosen(input.text('when-full'), 'when-full', ['pause', 'refuse']);
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
    const idle = NFS_OPTIONS.find(({ name }) => input.has(name));
    // Otherwise a person would wrongly believe that a session is protected, or open, in a certain way.
    if (idle !== undefined) throw new UsageError(`--${idle.name} goes with --nfs`);
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
    squash: chosen(input.text('squash'), 'squash', ['root', 'none', 'all']),
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
    accelerator: chosen(input.text('accel'), 'accel', ['tcg', 'kvm']),
    firmware: chosen(input.text('firmware'), 'firmware', ['bios', 'uefi']),
  };
}
