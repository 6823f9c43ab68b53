import { recover, type RecoverRequest } from '../../control/sessions.ts';
import type { ReadySession } from '../../protocol/results.ts';
import { type Command, type Input, UsageError } from '../command.ts';

export const command: Command = {
  usage: 'POINT | --resume SESSION  [--nbd ADDRESS] [--boot]',
  details: [
    '--nbd ADDRESS      unix:PATH, tcp:HOST:PORT (port 0: any), fd:N (a socket of systemd); without it a',
    "                   socket in the session's directory. Beyond this host use TLS:",
    '--tls-x509 DIR     server-cert.pem, server-key.pem; with ca-cert.pem clients need certificates',
    '--tls-psk FILE     lines of identity:key',
    '--when-full WHAT   pause (guests wait, if nothing is said) or refuse (they get an error)',
    '--boot             boots it in this terminal with QEMU, without a network',
    '--memory MIB       of that guest: 1024 if nothing is said',
    '--accel kvm        instead of emulation',
    '--firmware uefi    instead of BIOS',
    'Runs until interrupted, which leaves the session as it is: "recover --resume" goes on with it,',
    '"session keep" makes it a recovery point, "session discard" throws it away.',
  ],
  options: {
    resume: { type: 'string' },
    nbd: { type: 'string' },
    'tls-x509': { type: 'string' },
    'tls-psk': { type: 'string' },
    'when-full': { type: 'string' },
    boot: { type: 'boolean' },
    memory: { type: 'string' },
    accel: { type: 'string' },
    firmware: { type: 'string' },
  },
  takes: [0, 1],
  async run(input, { output, house, secrets, signal }) {
    const boot = bootOptions(input);
    const options = { secrets, signal, report: output.report };
    await using session = await recover(await house(), requestOf(input), options);
    const { ready } = session;
    if (input.flag('boot')) {
      output.say(`Session ${ready.session} of ${ready.point}`);
      if (output.json) output.result(ready, () => '');
      await session.boot({ ...boot, signal });
      return;
    }
    output.result(ready, () => text(ready));
    await interrupted(signal);
    output.say(
      `Session ${ready.session} can be resumed: holdfast recover --resume ${ready.session}`,
    );
  },
};

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

/** Ending it is how this is meant to end, so it is no failure. */
function interrupted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function text({ session, point, exports, qemu, libvirt }: ReadySession): string {
  return [
    `Session ${session} of ${point} is running. Ctrl-C ends it; it can be resumed.`,
    '',
    ...exports.map(({ disk, uri }) => `  ${disk}  ${uri}`),
    '',
    'QEMU:',
    `  qemu-system-x86_64 -m 1024 -nographic ${qemu}`,
    '',
    'libvirt:',
    libvirt.replace(/^/gm, '  '),
  ].join('\n');
}
