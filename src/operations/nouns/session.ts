import {
  field,
  flag,
  integer,
  list,
  nullable,
  type Of,
  object,
  oneOf,
  optional,
  type Schema,
  variants,
  withDefault,
} from '../../lib/schema.ts';
import {
  count,
  damage,
  damaged,
  first,
  line,
  logLines,
  MANY,
  nothing,
  PATH_MAX,
  point,
  prose,
  session,
  time,
  word,
  writtenBytes,
} from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';
import { placedMachine, stopHow } from './placed.ts';

const NETWORKS_MAX = 256;
const PORT_MAX = 65_535;
const files = { hostFile: true, placeholder: 'PATH', label: 'TLS files' } as const;

const port = (what: string) =>
  field(optional(integer(0, PORT_MAX)), `port of ${what}; 0: any`, { placeholder: 'N' });

const tls = variants(
  'kind',
  {
    x509: {
      directory: field(
        line(PATH_MAX),
        'server-cert.pem, server-key.pem and perhaps ca-cert.pem',
        files,
      ),
    },
    psk: { path: field(line(PATH_MAX), 'lines of identity:key', files) },
  },
  'x509: certificates; psk: keys that both sides know',
);

const nfs = object({
  allow: field(
    optional(list(line(128), NETWORKS_MAX, 1)),
    'addresses and networks that may use it; default: this host only',
    { label: 'NFS networks' },
  ),
  host: field(
    optional(line(256)),
    'address to listen on; default: all if other hosts may use it, else 127.0.0.1',
    { label: 'NFS address' },
  ),
  ports: field(
    withDefault(
      object({ nfs: port('NFS'), mount: port('MOUNT'), portmap: port('the portmapper') }),
      { nfs: undefined, mount: undefined, portmap: undefined },
    ),
    'ports; default: 2049, 20048 and 111 if the service may use them, else 12049, 12048 and 10111',
  ),
  readOnly: field(withDefault(flag(), false), 'allow no writes over NFS'),
  squash: field(
    withDefault(oneOf('none', 'root', 'all'), 'root'),
    'users who are mapped to user 65534; hypervisors connect as root and need none',
    { label: 'NFS users' },
  ),
  privilegedPorts: field(withDefault(flag(), true), 'only from ports below 1024'),
  points: field(
    withDefault(flag(), false),
    'also show the recovery points of the set, read-only, in /holdfast/points',
    { label: 'NFS points too' },
  ),
});

/** The addresses of a session. */
const reached = {
  listen: field(
    optional(line(PATH_MAX)),
    'NBD: unix:PATH, tcp:HOST:PORT (port 0: any) or fd:N; default: a socket of its own',
    {
      placeholder: 'ADDRESS',
      label: 'NBD address',
      hostFile: /^tcp:(?:\[[^\]]+\]|[^:]+):\d{1,5}$/,
    },
  ),
  tls: field(optional(tls), 'TLS of NBD', { label: 'NBD with TLS' }),
  nfs: field(optional(nfs), 'also export over NFS, as a directory of /holdfast', {
    label: 'NFS datastore',
  }),
};
const atItsPlace = {
  listen: { hidden: true },
  tls: { hidden: true },
  nfs: { hidden: true },
} as const;

const summary = {
  session: field(word, 'ID of the session'),
  set: field(word, 'name of the backup set'),
  point: field(word, 'the recovery point that it runs'),
  machine: field(word, 'name of the machine'),
  created: time('when it was started first'),
  state: field(
    oneOf(
      'running',
      'preparing',
      'ready',
      'placing',
      'copying',
      'pivoting',
      'settling',
      'leaving',
      'withdrawing',
      'keeping',
      'cleaning',
    ),
    'running: a process serves it; otherwise what is done, or has to be done, next: "ready" waits for people',
  ),
  holder: field(nullable(prose), 'the process that has it open; null: none'),
  takenBytes: field(count, 'bytes that its disks take'),
  listen: field(prose, 'where it was exported last'),
  addresses: field(
    list(prose, MANY),
    "its other addresses: its directory over NFS, its disks on the service's NBD server",
  ),
  waits: field(
    nullable(prose),
    'why the service cannot run it yet, or what its machine on a hypervisor waits for; null: it does not wait',
  ),
  adopted: field(flag(), 'whether this host knows its record: otherwise it is not resumed or kept'),
};
const sessionSummary = object(summary);
export type SessionSummary = Of<typeof sessionSummary>;

const ports = integer(0, PORT_MAX);
const snippet = (what: string) => field(prose, `what to do on ${what}`);
const nfsResult = object({
  host: field(word, 'an address that clients reach'),
  ports: field(
    object({
      nfs: field(ports, 'port of NFS'),
      mount: field(ports, 'port of MOUNT'),
      portmap: field(ports, 'port of the portmapper'),
    }),
    'ports',
  ),
  export: field(prose, 'what is mounted'),
  directory: field(prose, "the session's directory in it"),
  files: field(list(prose, MANY), 'files in that directory'),
  snippets: field(
    object({
      linux: snippet('Linux'),
      libvirt: snippet('libvirt'),
      esxi: snippet('ESXi'),
      proxmox: snippet('Proxmox VE'),
      xcpng: snippet('XCP-ng'),
      qemu: snippet('a machine with QEMU'),
    }),
    'what to do on a host of each kind',
  ),
});
export type NfsResult = Of<typeof nfsResult>;

export interface ReadySession {
  readonly event: 'ready';
  readonly session: string;
  readonly point: string;
  readonly exports: readonly {
    readonly disk: string;
    readonly size: number;
    readonly uri: string;
    readonly sectorSize?: number;
  }[];
  readonly qemu: string;
  readonly libvirt: string;
  readonly nfs?: NfsResult;
}

const readySession = object({
  event: field(oneOf('ready'), 'ready'),
  session: field(word, 'ID of the session'),
  point: field(word, 'the recovery point that it runs'),
  exports: field(
    list(
      object({
        disk: field(word, 'name of the disk'),
        size: field(count, 'its size in bytes'),
        uri: field(prose, 'where NBD clients find it'),
        sectorSize: field(optional(count), 'bytes of a sector; default: 512'),
      }),
      256,
    ),
    'its disks',
  ),
  qemu: field(prose, 'a command that runs it with QEMU'),
  libvirt: field(prose, 'its disks for a libvirt domain'),
  nfs: field(optional(nfsResult), 'its addresses over NFS'),
}) as Schema<ReadySession>;

const list_ = query('session/list', {
  summary: 'List recovery sessions',
  runs: 'store',
  request: nothing,
  result: object({ sessions: field(list(sessionSummary, MANY), 'sessions'), damaged }),
  cli: {
    notes:
      'STATE "waits": the session cannot run yet, "session show" gives the reason; "not adopted": see ' +
      '"store adopt"; "keeping", "cleaning": repeat "session keep" or "session discard", which was ' +
      'interrupted. TAKES: space on the disk of the store.',
    examples: ['session list'],
  },
});

const shownSession = object({
  ...summary,
  placed: field(nullable(placedMachine), 'its machine on a hypervisor; null: it has none'),
  attach: field(
    nullable(readySession),
    'how hypervisors attach its disks; null: it is not running, or has a machine on a hypervisor',
  ),
  overlay: field(
    nullable(
      object({
        liveBytes: field(count, 'bytes of pages as they are now'),
        writtenBytes,
        copiedBytes: field(count, 'bytes that were copied to free space'),
      }),
    ),
    'since it was started or resumed last; null: it has no sealed overlay, or is not run by the process that was asked',
  ),
});
export type ShownSession = Of<typeof shownSession>;
export type OverlayFigures = NonNullable<ShownSession['overlay']>;

const show = query('session/show', {
  summary: 'Show a recovery session',
  description:
    'Shows where its disks are exported, how to attach them to a guest, and how much space it takes. Needs no key.',
  runs: 'store',
  request: object({ session }),
  result: shownSession,
  cli: { args: ['session'], examples: ['session show web1-3f9c2a'] },
});

const log = query('session/log', {
  summary: 'Show what happened to a session since the service was started',
  description: 'Older events are in the journal: journalctl HOLDFAST_SESSION=SESSION.',
  runs: 'service',
  request: object({ session, first: first('how many older lines to skip') }),
  result: object({ session: field(word, 'ID of the session'), lines: logLines }),
  cli: {
    args: ['session'],
    options: { first: { hidden: true } },
    examples: ['session log web1-3f9c2a'],
  },
});

const start = mutation('session/start', {
  summary: 'Run a recovery point',
  runs: 'service',
  changes: ['session'],
  key: 'opens',
  passkey: 'asked',
  lockdown: 'allowed',
  request: object({
    point,
    whenFull: field(
      withDefault(oneOf('pause', 'refuse'), 'pause'),
      'when there is no space: guests wait, or get an error',
    ),
    ...reached,
  }),
  result: readySession,
});

const resume = mutation('session/resume', {
  summary: 'Resume a session where it was left',
  description:
    'Serves it at the same place as before. "recover --resume" can name another, and waits.',
  runs: 'service',
  changes: ['session'],
  key: 'opens',
  passkey: 'asked',
  lockdown: 'allowed',
  request: object({ session, ...reached }),
  result: readySession,
  cli: { args: ['session'], options: atItsPlace, examples: ['session resume web1-3f9c2a'] },
});

const attend = query('session/attend', {
  summary: 'Follow a session until it ends',
  description:
    'Reports each line of its log, each change of its state, and the progress of its disks. A session that is ' +
    'stopped has not ended.',
  runs: 'service',
  request: object({
    session,
    until: field(
      withDefault(oneOf('ended', 'stopped'), 'ended'),
      'stopped: only until the service no longer runs it',
    ),
  }),
  result: object({
    session: field(word, 'ID of the session'),
    ended: field(
      oneOf('kept', 'finalized', 'moved', 'discarded', 'stopped', 'unknown'),
      'how it ended; moved: to its hypervisor; stopped: it can be resumed; unknown: the service did not see how',
    ),
  }),
  cli: {
    args: ['session'],
    options: { until: { hidden: true } },
    notes:
      'With --json each event is a line: "step" with the time, the state of the session and of its machine, and a ' +
      'line of the log; "progress" for each disk. Exit code 0 if the session was kept or finalized, or has moved to ' +
      'its hypervisor; 1 if it was discarded. Ctrl-C ends only this command.',
    examples: ['session attend web1-3f9c2a', 'session attend web1-3f9c2a --json'],
  },
});

const stop = mutation('session/stop', {
  summary: 'Flush a session and stop it, to be resumed',
  description: 'What its guests have written is kept; "session resume" continues it.',
  runs: 'service',
  changes: ['session'],
  lockdown: 'allowed',
  request: object({ session }),
  result: object({ session: field(word, 'ID of the session'), stopped: field(flag(), 'true') }),
  cli: {
    args: ['session'],
    says: 'Session {session} is stopped.',
    examples: ['session stop web1-3f9c2a'],
  },
});

const discard = mutation('session/discard', {
  summary: 'Discard what a session wrote',
  description:
    'The recovery point is not changed. Works also for a session that is too damaged to run. A machine on a ' +
    'hypervisor is stopped and removed there first, and the one that it replaced gets its name back.',
  runs: 'store',
  changes: ['session'],
  request: object({ session, stop: stopHow }),
  result: object({
    session: field(word, 'ID of the session'),
    discarded: field(flag(), 'whether it is gone'),
    waits: field(nullable(prose), 'what its end waits for: it continues by itself; null: nothing'),
  }),
  cli: {
    args: ['session'],
    notes: 'Default of --stop: off.',
    examples: ['session discard web1-3f9c2a'],
  },
});

const keptSession = object({
  session: field(word, 'ID of the session'),
  point: field(word, "the new recovery point: what the session's disks held"),
  damage,
});
export type KeptSession = Of<typeof keptSession>;

const keep = mutation('session/keep', {
  summary: 'Save a session as a new recovery point',
  description:
    "Saves the session's disks as a new recovery point and ends the session. Only what was written is read " +
    'and stored. If that fails, the session is unchanged. A session with damaged pages is refused until its ' +
    'guest has written these pages again. A machine on a hypervisor is stopped and removed there first.',
  runs: 'worker',
  changes: ['session', 'backup'],
  key: 'opens',
  passkey: 'not asked',
  lockdown: 'allowed',
  job: { kind: 'keep' },
  request: object({ session, stop: stopHow }),
  result: keptSession,
  cli: {
    args: ['session'],
    notes: 'Exit code 6 if the session has damaged pages. Default of --stop: shutdown.',
    says: 'Session {session} is kept as recovery point {point}',
    examples: ['session keep web1-3f9c2a', 'session keep web1-3f9c2a --queue'],
  },
});

export const operations = [list_, show, log, start, resume, attend, stop, discard, keep] as const;
