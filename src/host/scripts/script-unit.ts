import { MiB } from '../../lib/sizes.ts';
import type { SandboxProgram } from '../../sys/sandbox/sandbox-program.ts';

/*
 * The sandbox of a script, as a transient unit of systemd: systemd-run's arguments. Pure. It sees the system's
 * programs, itself, and the sockets of the guest's ports; it has a user of its own, no network but an empty one, and
 * nowhere to write but a little memory. When its first process ends, systemd kills all others.
 */

export interface ScriptUnit {
  readonly unit: string;
  /** The script. */
  readonly path: string;
  /** The directory with sockets of the guest's ports. */
  readonly sockets: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly seconds: number;
  readonly root: RootNames;
  /** The first process. */
  readonly program: SandboxProgram;
}

/** Names in the root directory of this host, without links. */
export interface RootNames {
  readonly directories: readonly string[];
  /** What is not a directory: a file to swap to, or a mark of a container. */
  readonly others: readonly string[];
}

const MEMORY_BYTES = 512 * MiB;
/** The part of that memory that files may take. */
const FILES_BYTES = 64 * MiB;
const TASKS = 128;
/** Names in the sandbox: the real ones may be anywhere. */
const INSIDE = '/run/holdfast';

/** Directories of the root that are there in any sandbox of systemd: programs, and what the kernel shows. */
const SHOWN: ReadonlySet<string> = new Set(['usr', 'proc', 'sys', 'dev', 'tmp']);
/** What programs need of /etc. */
const SETTINGS = [
  ...['alternatives', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'localtime', 'passwd', 'group'],
  ...['nsswitch.conf', 'hosts', 'services', 'protocols', 'ssl/certs', 'ssl/openssl.cnf'],
];

export function scriptUnit(options: ScriptUnit): readonly string[] {
  const { unit, path, sockets, environment, seconds, root, program } = options;
  const hidden = root.directories.filter((it) => !SHOWN.has(it));
  // TemporaryFileSystem= takes options after a colon, and makes directories only.
  const [plain, odd] = [hidden.filter(isPlain), hidden.filter((it) => !isPlain(it))];
  const properties = [
    'DynamicUser=yes',
    'PrivateNetwork=yes',
    'PrivateIPC=yes',
    'PrivateDevices=yes',
    'ProtectProc=invisible',
    'ProcSubset=pid',
    // Nothing of the store, of secrets or of sockets, wherever they are.
    ...plain.map((it) => `TemporaryFileSystem=/${it}:ro`),
    ...[...odd, ...root.others].map((it) => `InaccessiblePaths=${quoted(`/${it}`)}`),
    // PrivateDevices= leaves the one of this host there, for all to write to.
    'InaccessiblePaths=/dev/shm',
    'ProtectHome=tmpfs',
    'TemporaryFileSystem=/var/tmp:ro',
    `TemporaryFileSystem=/tmp:mode=1777,size=${FILES_BYTES}`,
    ...SETTINGS.map((it) => `BindReadOnlyPaths=-/etc/${it}`),
    ...[
      [path, `${INSIDE}/script`],
      [sockets, `${INSIDE}/ports`],
      [program.node, `${INSIDE}/node`],
      [program.directory, `${INSIDE}/program`],
    ].map(([from, to]) => `BindReadOnlyPaths=${from}:${to}`),
    'WorkingDirectory=/tmp',
    'UMask=0077',
    'NoNewPrivileges=yes',
    'CapabilityBoundingSet=',
    'RestrictNamespaces=yes',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'LockPersonality=yes',
    'ProtectClock=yes',
    'ProtectHostname=yes',
    'ProtectKernelLogs=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelTunables=yes',
    'ProtectControlGroups=yes',
    'KeyringMode=private',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallErrorNumber=EPERM',
    `MemoryMax=${MEMORY_BYTES}`,
    'MemorySwapMax=0',
    `TasksMax=${TASKS}`,
    'LimitCORE=0',
    'Nice=10',
    'OOMPolicy=kill',
    'KillMode=control-group',
    // The signal that cannot be ignored, at once: nothing in there has to be put in order.
    'KillSignal=SIGKILL',
    `RuntimeMaxSec=${seconds}`,
  ];
  return [
    ...['--wait', '--pipe', '--collect', '--service-type=exec', `--unit=${unit}`],
    '--description=Holdfast: a script that proves a recovery point',
    ...properties.map((it) => `--property=${it}`),
    ...Object.entries({ ...environment, HOME: '/tmp', TMPDIR: '/tmp' }).map(
      ([name, value]) => `--setenv=${name}=${value}`,
    ),
    // systemd-run wants a program that is there outside, too.
    ...['--', '/usr/bin/env', `${INSIDE}/node`, `${INSIDE}/program/${program.name}`],
    ...[`${INSIDE}/script`, `${INSIDE}/ports`],
  ];
}

/** systemd reads it as one word, without quotes and escapes. */
function isPlain(name: string): boolean {
  return /^[\w.@+-]+$/.test(name);
}

/** A path as one word of systemd's: systemd.syntax(7), "Quoting". */
function quoted(path: string): string {
  return `"${path.replaceAll(/["\\]/g, '\\$&')}"`;
}
