import {
  field,
  flag,
  list,
  nullable,
  type Of,
  object,
  oneOf,
  optional,
  text,
  withDefault,
} from '../../lib/schema.ts';
import {
  count,
  damaged,
  line,
  MANY,
  nothing,
  prose,
  time,
  timeOrNull,
  word,
} from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';
import { newestProof } from '../base/proofs.ts';

/* Managed hosts that run machines: where they are, by what they are recognized, whether a backup could begin. */

const remote = {
  denied: 'credentials of hypervisors are created and changed at the host',
} as const;

/** It becomes the name of files and of a systemd credential, and stands before "/" in front of a machine. */
const ownName = text({
  max: 64,
  pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
  words: 'letters, digits, ".", "_", "-", a letter or digit first',
});
export const hypervisorName = field(ownName, 'name of the hypervisor', {
  ...{ placeholder: 'HYPERVISOR', names: 'hypervisors' },
});
const uri = text({
  max: 1024,
  pattern: /^[a-z][a-z0-9+]*:\/\/(?![^/]*:[^/]*@)[^\s\p{Cc}]*$/u,
  words:
    'an address like qemu:///system, qemu+ssh://ACCOUNT@HOST/system, qemu+tls://HOST/system or qemu+qmp:///run/qemu, ' +
    'without a password',
});
const fingerprint = text({
  max: 128,
  pattern: /^(SHA256:[A-Za-z0-9+/]{43}|[0-9A-F]{2}(:[0-9A-F]{2}){31})$/,
  words:
    'a fingerprint like SHA256:uNiVztksCsDhcc0u9e8BrvtSoXJqp0DxCLLPo3YMIPc for SSH, or 32 pairs like 3F:A0:... for TLS',
});

const directory = text({ max: 1024, pattern: /^\/[\w./+@-]*$/, words: 'a path like /var/lib/x' });
const sockets = field(
  optional(directory),
  'directory on the hypervisor for the sockets of backups, which the account must be able to open; ' +
    'default: the usual one',
  { placeholder: 'DIR' },
);
const scratch = field(
  optional(directory),
  'directory on the hypervisor for data that guests overwrite during a backup; default: beside the ' +
    'image of each disk. Needed for disks that are block devices or on the network',
  { placeholder: 'DIR' },
);

const pem = (label: string, what: string) =>
  field(optional(text({ max: 4096, pattern: /^\//, words: 'an absolute path' })), what, {
    ...{ hostFile: true, placeholder: 'FILE', label },
  });
/** For an address of TLS. */
const certificates = {
  ca: pem(
    'TLS authority',
    'certificate of the authority that vouches for the TLS server, in PEM; default: its fingerprint is pinned',
  ),
  clientCertificate: pem(
    'Own TLS cert',
    'our certificate for the TLS server, in PEM, which is copied',
  ),
  clientKey: pem(
    'Own TLS key',
    'the private key of that certificate, in PEM, which is copied: only its owner may read it',
  ),
};

const hypervisor = {
  hypervisor: field(word, 'name of the hypervisor'),
  kind: field(word, 'its kind: libvirt, qemu'),
  uri: field(prose, 'its address'),
  fingerprint: field(
    nullable(word),
    'fingerprint of the key, certificate or authority by which it is recognized; null: it is this host',
  ),
  sockets: field(nullable(prose), 'directory there for sockets of backups; null: the usual one'),
  scratch: field(
    nullable(prose),
    'directory there for data that guests overwrite during a backup; null: beside each disk',
  ),
  added: time('when it was added'),
  contact: timeOrNull('when it answered for the last time; null: never'),
  product: field(nullable(prose), 'the product and version that it reported then'),
  host: field(nullable(prose), 'the name that it reported then'),
  failed: timeOrNull('when it failed for the last time; null: it has answered since'),
  failure: field(nullable(prose), 'why it failed then'),
};
const shown = object(hypervisor);
export type ShownHypervisor = Of<typeof shown>;

/** What has to be done on the hypervisor. */
const authorized = {
  authorizedKey: field(
    nullable(prose),
    "the line for the account's authorized_keys on the hypervisor; null: SSH is not used",
  ),
  steps: field(list(prose, 100), 'commands that prepare the hypervisor, as root there'),
};

const identify = mutation('hypervisor/identify', {
  summary: 'Ask an address for the host keys by which it would be recognized',
  description:
    'Nothing is stored. Compare a fingerprint with the one that the hypervisor itself shows.',
  runs: 'store',
  changes: [],
  remote,
  request: object({ uri: field(uri, 'its address') }),
  result: object({
    uri: field(prose, 'its address'),
    kind: field(word, 'what it is'),
    keys: field(
      list(
        object({
          type: field(word, 'kind of the key'),
          fingerprint: field(word, 'its fingerprint'),
        }),
        100,
      ),
      'its host keys, the one that Holdfast prefers first; empty: its address needs none',
    ),
  }),
});

const add = mutation('hypervisor/add', {
  summary: 'Add a hypervisor',
  description:
    'Creates a key for it, and pins its host key: only a host with that key counts as this hypervisor ' +
    'afterwards. For TLS it copies the given key, and pins the certificate or keeps its authority. ' +
    'Credentials stay with the service: they are in no store, log or support bundle.',
  runs: 'store',
  changes: ['hypervisor'],
  remote,
  request: object({
    hypervisor: field(ownName, 'name of the hypervisor', { placeholder: 'NAME' }),
    uri: field(uri, 'its address'),
    hostKey: field(
      optional(fingerprint),
      'fingerprint of its host key, or of its certificate, compared with the one that the hypervisor itself shows',
      { placeholder: 'FINGERPRINT', label: 'Fingerprint' },
    ),
    sockets,
    scratch,
    ...certificates,
  }),
  result: object({ ...hypervisor, ...authorized }),
});

const list_ = query('hypervisor/list', {
  summary: 'List hypervisors',
  runs: 'store',
  request: nothing,
  result: object({ hypervisors: field(list(shown, MANY), 'hypervisors'), damaged }),
  cli: { examples: ['hypervisor list'] },
});

const show = query('hypervisor/show', {
  summary: 'Show a hypervisor, and how it is prepared',
  runs: 'store',
  request: object({ hypervisor: hypervisorName }),
  result: object({ ...hypervisor, ...authorized }),
  cli: { args: ['hypervisor'], examples: ['hypervisor show kvm1'] },
});

const finding = object({
  level: field(
    oneOf('ok', 'warning', 'blocker'),
    'warning: a backup does less than it could; blocker: it cannot begin',
  ),
  code: field(word, 'the condition: reachable, identity, rights, version, tracking, ...'),
  disk: field(nullable(word), 'the disk concerned; null: the whole machine or hypervisor'),
  message: field(prose, 'what was found'),
  remedy: field(nullable(prose), 'what to do about it'),
});
export type ShownFinding = Of<typeof finding>;
export const findings = field(list(finding, MANY), 'what was found');

const test = query('hypervisor/test', {
  summary: 'Check whether backups from a hypervisor can begin',
  description:
    'Changes nothing there. Each condition is listed, with its remedy; exit code 1 if one of them is a ' +
    'blocker.',
  runs: 'store',
  request: object({
    hypervisor: hypervisorName,
    machine: field(optional(line(256)), 'also check this machine', {
      ...{ placeholder: 'MACHINE', names: 'hosted' },
    }),
  }),
  result: object({
    hypervisor: field(word, 'name of the hypervisor'),
    ready: field(flag(), 'whether there is no blocker'),
    findings,
  }),
  cli: {
    args: ['hypervisor', 'machine'],
    examples: ['hypervisor test kvm1', 'hypervisor test kvm1 web1'],
  },
});

const disk = object({
  disk: field(word, 'name of the disk'),
  size: field(nullable(count), 'its size in bytes; null: not known'),
  excluded: field(nullable(prose), 'why it would not be backed up; null: it would'),
});
const lastBackup = object({
  set: field(word, 'the backup set'),
  point: field(word, 'ID of the recovery point'),
  created: time('when it was created'),
  consistency: field(
    nullable(word),
    'the state in which its disks were: application, file-system, crash, off; null: not known',
  ),
});
const machine = object({
  machine: field(word, 'name of the machine'),
  id: field(word, 'the ID that the hypervisor uses for it'),
  power: field(
    oneOf('on', 'off', 'saved', 'paused', 'suspended', 'unknown'),
    'its present state; saved: it is off, and continues from its saved memory when it is started',
  ),
  last: field(nullable(lastBackup), 'its newest recovery point; null: there is none'),
  proof: newestProof,
  disks: field(nullable(list(disk, 10_000)), 'its disks; null: not asked for'),
  bytes: field(nullable(count), 'the most that a full backup would read; null: not known'),
  seconds: field(
    nullable(count),
    'how long that takes at 100 MB/s, about what a network of 1 Gbit/s carries; null: not known',
  ),
  findings: field(nullable(list(finding, MANY)), 'what was found; null: not asked for'),
});
export type ShownMachine = Of<typeof machine>;

const places = object({
  pools: field(
    list(
      object({
        pool: field(word, 'name of the pool'),
        free: field(count, 'bytes that are free in it'),
      }),
      MANY,
    ),
    'its active pools for disks',
  ),
  networks: field(list(word, MANY), 'its active networks'),
});

const machines = query('hypervisor/machines', {
  summary: 'List the machines of a hypervisor, with their last backups and proofs',
  runs: 'worker',
  shows: ['hypervisor', 'backup', 'verify'],
  request: object({
    hypervisor: hypervisorName,
    machine: field(optional(line(256)), 'only this machine', {
      ...{ placeholder: 'MACHINE', names: 'hosted' },
    }),
    check: field(
      withDefault(flag(), false),
      'examine each machine: its disks, their size, and anything that prevents a backup',
    ),
  }),
  result: object({
    hypervisor: field(word, 'name of the hypervisor'),
    product: field(prose, 'its product and version'),
    machines: field(list(machine, MANY), 'its machines, by name'),
    places: field(
      nullable(places),
      'where restored machines can be; null: not known, or none can be restored to it',
    ),
  }),
  cli: {
    args: ['hypervisor', 'machine'],
    examples: ['hypervisor machines kvm1', 'hypervisor machines kvm1 web1 --check'],
  },
});

const change = mutation('hypervisor/change', {
  summary: 'Change the address of a hypervisor, or how it is used',
  description:
    'If the address or the host key changes, the host there must show a key with that fingerprint.',
  runs: 'store',
  changes: ['hypervisor'],
  remote,
  request: object({
    hypervisor: hypervisorName,
    uri: field(optional(uri), 'its new address'),
    hostKey: field(optional(fingerprint), 'fingerprint of its new host key or certificate', {
      placeholder: 'FINGERPRINT',
    }),
    sockets,
    scratch,
    ...certificates,
  }),
  result: object({ ...hypervisor, ...authorized }),
  cli: {
    args: ['hypervisor'],
    examples: [
      'hypervisor change kvm1 --host-key SHA256:uNiVztksCsDhcc0u9e8BrvtSoXJqp0DxCLLPo3YMIPc',
      'hypervisor change kvm1 --uri qemu+ssh://holdfast@kvm1.example.net/system',
    ],
  },
});

const remove = mutation('hypervisor/remove', {
  summary: 'Remove a hypervisor, and our key for it',
  description:
    'The command is refused while a schedule backs up from the hypervisor, or a session has a machine there. ' +
    'Recovery points and the machines there stay. Remove the line from authorized_keys there by hand.',
  runs: 'store',
  changes: ['hypervisor'],
  remote,
  request: object({
    hypervisor: hypervisorName,
    force: field(
      withDefault(flag(), false),
      'even if a schedule backs up from it, or an abandoned session has left something there',
    ),
  }),
  result: object({
    hypervisor: field(word, 'name of the hypervisor'),
    removed: field(flag(), 'true'),
  }),
  cli: {
    args: ['hypervisor'],
    says: 'Hypervisor "{hypervisor}" is removed.',
    examples: ['hypervisor remove kvm1'],
  },
});

export const operations = [
  ...[identify, add, list_, show, test, machines],
  ...[change, remove],
] as const;
