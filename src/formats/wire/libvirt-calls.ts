import {
  DOMAIN,
  LIBVIRT_PROGRAMS,
  LIST_COUNT_MAX,
  NAMED,
  TEXT_LENGTH_MAX,
  TYPED_PARAMETER,
} from './libvirt.ts';
import {
  I32,
  type Layout,
  list,
  looseText,
  NOTHING,
  optional,
  struct,
  text,
  U32,
  U64,
  UUID_TEXT,
  type ValueOf,
  word,
} from './xdr-layouts.ts';

/* The procedures of libvirt that are called, each with the layouts of its arguments and its result: libvirt.md. */

/** One procedure: its arguments and its result. */
export interface LibvirtProcedure<Arguments, Result> {
  /** For messages to people. */
  readonly name: string;
  readonly program: number;
  readonly number: number;
  readonly arguments: Layout<Arguments>;
  readonly result: Layout<Result>;
}

function procedure<A, R>(
  name: string,
  number: number,
  takes: Layout<A>,
  result: Layout<R>,
): LibvirtProcedure<A, R> {
  return { name, program: LIBVIRT_PROGRAMS.remote, number, arguments: takes, result };
}

const TEXT = text(TEXT_LENGTH_MAX);
/** Limits of single lists: authentication, typed parameters of jobs and of guests, mount points. */
const AUTH_COUNT_MAX = 20;
const JOB_COUNT_MAX = 64;
const GUEST_COUNT_MAX = 2048;
const MOUNT_COUNT_MAX = 256;
/** REMOTE_DOMAIN_DISK_ERRORS_MAX. */
const DISK_COUNT_MAX = 256;

const DOMAINS = struct({ domains: list(DOMAIN, LIST_COUNT_MAX), count: U32 });
const ALL_NAMED = struct({ all: list(NAMED, LIST_COUNT_MAX), count: I32 });
const OF_DOMAIN = struct({ domain: DOMAIN });
const OF_DOMAIN_FLAGS = struct({ domain: DOMAIN, flags: U32 });
const OF_NAMED_FLAGS = struct({ named: NAMED, flags: U32 });
/** `wanted` is 1 for a list with its members, 0 for their number only. */
const LIST_OF_DOMAIN = struct({ domain: DOMAIN, wanted: I32, flags: U32 });
const FROZEN = struct({ domain: DOMAIN, mounts: list(TEXT, MOUNT_COUNT_MAX), flags: U32 });

/** virDomainState, in words of ours. */
const STATES = [
  ...(['none', 'running', 'blocked', 'paused', 'shutting-down'] as const),
  ...(['off', 'crashed', 'suspended'] as const),
] as const;

const JOBS = ['none', 'bounded', 'unbounded', 'completed', 'failed', 'cancelled'] as const;

/** virStorageVolType, in words of ours. */
const VOLUMES = ['file', 'block', 'directory', 'network', 'network-directory', 'ploop'] as const;

const JOB_INFO = struct({
  type: word(JOBS),
  elapsedMs: U64,
  remainingMs: U64,
  ...{ dataTotal: U64, dataProcessed: U64, dataRemaining: U64 },
  ...{ memoryTotal: U64, memoryProcessed: U64, memoryRemaining: U64 },
  ...{ fileTotal: U64, fileProcessed: U64, fileRemaining: U64 },
});

const DISK_INFO = struct({ allocation: U64, capacity: U64, physical: U64 });

const VOLUME = struct({ pool: TEXT, name: TEXT, key: TEXT });
export type LibvirtVolume = ValueOf<typeof VOLUME>;
const OF_VOLUME = struct({ volume: VOLUME });
const OF_VOLUME_FLAGS = struct({ volume: VOLUME, flags: U32 });
const POOL = struct({ name: TEXT, uuid: UUID_TEXT });
export type LibvirtPool = ValueOf<typeof POOL>;
const OF_POOL = struct({ pool: POOL });
const OF_POOL_FLAGS = struct({ pool: POOL, flags: U32 });
const POOL_INFO = struct({ state: U32, capacity: U64, allocation: U64, available: U64 });
const NETWORK = struct({ name: TEXT, uuid: UUID_TEXT });
const DISK_ERROR = struct({ disk: TEXT, kind: word(['none', 'unspecified', 'no-space']) });
const BLOCK_JOB = struct({ found: I32, type: I32, bandwidth: U64, done: U64, total: U64 });
const VOLUME_INFO = struct({ type: word(VOLUMES), capacity: U64, allocation: U64 });

export const LIBVIRT_CALLS = {
  // The connection.
  authList: procedure(
    'auth-list',
    66,
    NOTHING,
    list(word(['none', 'sasl', 'polkit']), AUTH_COUNT_MAX),
  ),
  authPolkit: procedure('auth-polkit', 70, NOTHING, I32),
  open: procedure('open', 1, struct({ uri: optional(TEXT), flags: U32 }), NOTHING),
  /** QEMU's; this and libvirt's are 1,000,000 major + 1000 minor + release. */
  version: procedure('version', 4, NOTHING, U64),
  /** libvirt's own. */
  libVersion: procedure('lib-version', 157, NOTHING, U64),
  hostname: procedure('hostname', 59, NOTHING, TEXT),
  capabilities: procedure('capabilities', 7, NOTHING, TEXT),
  /** Answers a callback's ID, which its messages carry. Without a domain: of all domains. */
  registerEvent: procedure(
    'register-event',
    316,
    struct({ event: I32, domain: optional(DOMAIN) }),
    I32,
  ),

  // Machines.
  listDomains: procedure('list-domains', 273, struct({ wanted: I32, flags: U32 }), DOMAINS),
  domainByUuid: procedure('domain-by-uuid', 24, struct({ uuid: UUID_TEXT }), DOMAIN),
  domainByName: procedure('domain-by-name', 23, struct({ name: TEXT }), DOMAIN),
  domainXml: procedure('domain-xml', 14, OF_DOMAIN_FLAGS, TEXT),
  domainState: procedure(
    'domain-state',
    212,
    OF_DOMAIN_FLAGS,
    struct({ state: word(STATES), reason: I32 }),
  ),
  autostart: procedure('autostart', 15, OF_DOMAIN, I32),
  isPersistent: procedure('is-persistent', 151, OF_DOMAIN, I32),
  /** Whether it is off, and goes on from a memory that was saved when it is started: 1 or 0. */
  hasManagedSave: procedure('has-managed-save', 183, OF_DOMAIN_FLAGS, I32),
  /** `disk` is a target (`vda`) or the path of its image. */
  diskInfo: procedure(
    'disk-info',
    194,
    struct({ domain: DOMAIN, disk: TEXT, flags: U32 }),
    DISK_INFO,
  ),
  metadata: procedure(
    'metadata',
    265,
    struct({ domain: DOMAIN, type: I32, uri: optional(TEXT), flags: U32 }),
    TEXT,
  ),
  /** Without `metadata` the element goes. */
  setMetadata: procedure(
    'set-metadata',
    264,
    struct({
      ...{ domain: DOMAIN, type: I32, metadata: optional(TEXT) },
      ...{ key: optional(TEXT), uri: optional(TEXT), flags: U32 },
    }),
    NOTHING,
  ),
  /** Starts one that is off. */
  createDomain: procedure('create-domain', 196, OF_DOMAIN_FLAGS, DOMAIN),
  capabilitiesOf: procedure(
    'domain-capabilities',
    342,
    struct({
      ...{ emulator: optional(TEXT), arch: optional(TEXT), machine: optional(TEXT) },
      ...{ type: optional(TEXT), flags: U32 },
    }),
    TEXT,
  ),
  /** Makes a definition, or replaces the one that has its UUID and its name. */
  defineDomain: procedure('define-domain', 350, struct({ xml: TEXT, flags: U32 }), DOMAIN),
  undefineDomain: procedure('undefine-domain', 231, OF_DOMAIN_FLAGS, NOTHING),
  renameDomain: procedure(
    'rename-domain',
    358,
    struct({ domain: DOMAIN, name: optional(TEXT), flags: U32 }),
    I32,
  ),
  setAutostart: procedure('set-autostart', 29, struct({ domain: DOMAIN, autostart: I32 }), NOTHING),
  resumeDomain: procedure('resume-domain', 28, OF_DOMAIN, NOTHING),
  /** Asks the guest. */
  shutDownDomain: procedure('shut-down-domain', 33, OF_DOMAIN, NOTHING),
  destroyDomain: procedure('destroy-domain', 234, OF_DOMAIN_FLAGS, NOTHING),
  /** Begins to copy a disk to what `target`, a `<disk>`, says. */
  copyDisk: procedure(
    'copy-disk',
    345,
    struct({
      ...{ domain: DOMAIN, disk: TEXT, target: TEXT },
      ...{ parameters: list(TYPED_PARAMETER, JOB_COUNT_MAX), flags: U32 },
    }),
    NOTHING,
  ),
  /** Begins to copy into a disk's uppermost layer all that it has from those below, which it then no longer has. */
  pullDisk: procedure(
    'pull-disk',
    240,
    struct({ domain: DOMAIN, disk: TEXT, bandwidth: U64, flags: U32 }),
    NOTHING,
  ),
  /** The disks that had an error, of a machine that stopped. */
  diskErrors: procedure(
    'disk-errors',
    263,
    struct({ domain: DOMAIN, max: I32, flags: U32 }),
    struct({ errors: list(DISK_ERROR, DISK_COUNT_MAX), count: I32 }),
  ),
  diskJob: procedure(
    'disk-job',
    238,
    struct({ domain: DOMAIN, disk: TEXT, flags: U32 }),
    BLOCK_JOB,
  ),
  endDiskJob: procedure(
    'end-disk-job',
    237,
    struct({ domain: DOMAIN, disk: TEXT, flags: U32 }),
    NOTHING,
  ),
  attachDevice: procedure(
    'attach-device',
    160,
    struct({ domain: DOMAIN, xml: TEXT, flags: U32 }),
    NOTHING,
  ),
  snapshots: procedure('snapshots', 274, LIST_OF_DOMAIN, ALL_NAMED),
  snapshotXml: procedure('snapshot-xml', 186, OF_NAMED_FLAGS, TEXT),

  // What libvirt knows of images that lie in its pools.
  volumeByName: procedure('volume-by-name', 95, struct({ pool: POOL, name: TEXT }), VOLUME),
  volumeByPath: procedure('volume-by-path', 97, struct({ path: TEXT }), VOLUME),
  volumeInfo: procedure('volume-info', 98, OF_VOLUME, VOLUME_INFO),
  volumeXml: procedure('volume-xml', 99, OF_VOLUME_FLAGS, TEXT),
  createVolume: procedure(
    'create-volume',
    93,
    struct({ pool: POOL, xml: TEXT, flags: U32 }),
    VOLUME,
  ),
  /** A stream with the bytes follows, from the client. */
  uploadVolume: procedure(
    'upload-volume',
    208,
    struct({ volume: VOLUME, offset: U64, length: U64, flags: U32 }),
    NOTHING,
  ),
  /** Writes the size into an image again, if it is the same, and has the host write all of it to its medium. */
  resizeVolume: procedure(
    'resize-volume',
    260,
    struct({ volume: VOLUME, capacity: U64, flags: U32 }),
    NOTHING,
  ),
  deleteVolume: procedure('delete-volume', 94, OF_VOLUME_FLAGS, NOTHING),
  /** A stream with its bytes follows. `length` 0: to its end. */
  downloadVolume: procedure(
    'download-volume',
    209,
    struct({ volume: VOLUME, offset: U64, length: U64, flags: U32 }),
    NOTHING,
  ),

  // Pools: directories of the host, as libvirt knows them.
  pools: procedure(
    'pools',
    281,
    struct({ wanted: I32, flags: U32 }),
    struct({ pools: list(POOL, LIST_COUNT_MAX), count: U32 }),
  ),
  poolByName: procedure('pool-by-name', 84, struct({ name: TEXT }), POOL),
  poolInfo: procedure('pool-info', 87, OF_POOL, POOL_INFO),
  poolXml: procedure('pool-xml', 88, OF_POOL_FLAGS, TEXT),
  poolVolumes: procedure(
    'pool-volumes',
    282,
    struct({ pool: POOL, wanted: I32, flags: U32 }),
    struct({ volumes: list(VOLUME, LIST_COUNT_MAX), count: U32 }),
  ),
  /** One that lasts until it is destroyed, and of which nothing is kept. */
  createPool: procedure('create-pool', 76, struct({ xml: TEXT, flags: U32 }), POOL),
  refreshPool: procedure('refresh-pool', 83, OF_POOL_FLAGS, NOTHING),
  /** Its files stay. */
  destroyPool: procedure('destroy-pool', 80, OF_POOL, NOTHING),

  networks: procedure(
    'networks',
    283,
    struct({ wanted: I32, flags: U32 }),
    struct({ networks: list(NETWORK, LIST_COUNT_MAX), count: U32 }),
  ),

  // The guest, through its agent.
  freeze: procedure('freeze', 335, FROZEN, I32),
  thaw: procedure('thaw', 336, FROZEN, I32),
  guestInfo: procedure(
    'guest-info',
    418,
    struct({ domain: DOMAIN, types: U32, flags: U32 }),
    list(TYPED_PARAMETER, GUEST_COUNT_MAX),
  ),
  agentCommand: {
    ...procedure(
      'agent-command',
      3,
      struct({ domain: DOMAIN, command: TEXT, timeoutSeconds: I32, flags: U32 }),
      optional(looseText(TEXT_LENGTH_MAX)),
    ),
    program: LIBVIRT_PROGRAMS.qemu,
  },

  // Checkpoints and backups.
  checkpoints: procedure('checkpoints', 413, LIST_OF_DOMAIN, ALL_NAMED),
  createCheckpoint: procedure(
    'create-checkpoint',
    411,
    struct({ domain: DOMAIN, xml: TEXT, flags: U32 }),
    NAMED,
  ),
  checkpointByName: procedure(
    'checkpoint-by-name',
    415,
    struct({ domain: DOMAIN, name: TEXT, flags: U32 }),
    NAMED,
  ),
  checkpointXml: procedure('checkpoint-xml', 412, OF_NAMED_FLAGS, TEXT),
  deleteCheckpoint: procedure('delete-checkpoint', 417, OF_NAMED_FLAGS, NOTHING),
  beginBackup: procedure(
    'begin-backup',
    421,
    struct({ domain: DOMAIN, backup: TEXT, checkpoint: optional(TEXT), flags: U32 }),
    NOTHING,
  ),
  backupXml: procedure('backup-xml', 422, OF_DOMAIN_FLAGS, TEXT),
  jobInfo: procedure('job-info', 163, OF_DOMAIN, JOB_INFO),
  jobStats: procedure(
    'job-stats',
    298,
    OF_DOMAIN_FLAGS,
    struct({ type: word(JOBS), parameters: list(TYPED_PARAMETER, JOB_COUNT_MAX) }),
  ),
  abortJob: procedure('abort-job', 164, OF_DOMAIN, NOTHING),
} as const;

/** Flags of the procedures, by the procedure. */
export const LIBVIRT_FLAGS = {
  /** Alone or together; none: all. */
  listDomains: {
    active: 1 << 0,
    inactive: 1 << 1,
    running: 1 << 4,
    paused: 1 << 5,
    off: 1 << 6,
    other: 1 << 7,
    managedSave: 1 << 8,
    noManagedSave: 1 << 9,
  },
  domainXml: { secure: 1 << 0, inactive: 1 << 1, migratable: 1 << 3 },
  /** Which definition is meant: the one that runs, or the one that is kept. */
  setMetadata: { live: 1 << 0, config: 1 << 1 },
  /** The `type` of metadata: an XML element of a namespace of its own. */
  metadataType: { element: 2 },
  metadata: { live: 1 << 0, config: 1 << 1 },
  createDomain: { paused: 1 << 0, autoDestroy: 1 << 1 },
  undefineDomain: {
    managedSave: 1 << 0,
    snapshots: 1 << 1,
    firmwareVariables: 1 << 2,
    checkpoints: 1 << 4,
    /** Since libvirt 8.9; before it, the state of a TPM went with its machine. */
    keepTpm: 1 << 6,
  },
  /** For the machine that runs, and for its next start. */
  attachDevice: { live: 1 << 0, config: 1 << 1 },
  /** To a file that is there; the job ends with the machine. */
  copyDisk: { reuse: 1 << 1, transient: 1 << 2, synchronous: 1 << 3 },
  /** From then on it is on the copy. */
  endDiskJob: { pivot: 1 << 1 },
  pools: { active: 1 << 1 },
  createPool: { build: 1 << 0 },
  networks: { active: 1 << 1 },
  snapshots: { internal: 1 << 8, external: 1 << 9 },
  guestInfo: {
    users: 1,
    os: 1 << 1,
    timezone: 1 << 2,
    hostname: 1 << 3,
    fileSystems: 1 << 4,
    disks: 1 << 5,
  },
  checkpoints: { topological: 1 << 1 },
  createCheckpoint: { redefine: 1 << 0, quiesce: 1 << 1, validate: 1 << 2 },
  checkpointXml: { secure: 1 << 0, withoutDomain: 1 << 1, size: 1 << 2 },
  deleteCheckpoint: { children: 1 << 0, metadataOnly: 1 << 1 },
  jobStats: { completed: 1 << 0, keepCompleted: 1 << 1 },
} as const;
