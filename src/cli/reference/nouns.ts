import type { OperationName } from '../../operations/operations.ts';
import type { Command } from '../base/command.ts';
import type { Noun } from '../base/noun.ts';
import type { Renders } from '../render/render.ts';

type Commands = Noun['commands'];

/** Commands derived from operations: `session`, then `list` for `session/list`, `key add` for `ssh-key/add`. */
function derived(loadTexts: () => Promise<{ readonly render: Renders }>) {
  return (noun: string, ...verbs: readonly string[]): Commands =>
    Object.fromEntries(
      verbs.map((verb) => {
        const words = [noun, ...verb.split(' ')];
        const name = `${words.slice(0, -1).join('-')}/${words.at(-1)}` as OperationName;
        return [verb, async () => commandOf(name, await loadTexts())];
      }),
    );
}

async function commandOf(
  name: OperationName,
  { render }: { readonly render: Renders },
): Promise<Command> {
  const [{ declared }, { operationCommand }] = await Promise.all([
    import('../base/declared.ts'),
    import('../options/operation-command.ts'),
  ]);
  return operationCommand(await declared(name), render[name]);
}

/** A derived command whose hypervisor, named by the option `place`, may be one that is not added yet. */
function onAnyHost(
  name: OperationName,
  loadTexts: () => Promise<{ readonly render: Renders }>,
  place: string,
): () => Promise<Command> {
  return async () => {
    const [{ declared }, { withAnotherHost }] = await Promise.all([
      import('../base/declared.ts'),
      import('../options/another-host.ts'),
    ]);
    const [command, operation] = [await commandOf(name, await loadTexts()), await declared(name)];
    return withAnotherHost(command, { operation, place, isTlsUsed: name !== 'session/run' });
  };
}

/** A command written by hand: for several operations, or none. */
function byHand(load: () => Promise<{ readonly command: Command }>): () => Promise<Command> {
  return async () => (await load()).command;
}

const alarms = derived(() => import('../render/alarm.ts'));
const audits = derived(() => import('../render/audit.ts'));
const backups = derived(() => import('../render/backup.ts'));
const disks = derived(() => import('../render/disk.ts'));
const files = derived(() => import('../render/files.ts'));
const hosts = derived(() => import('../render/host.ts'));
const hypervisors = derived(() => import('../render/hypervisor.ts'));
const jobs = derived(() => import('../render/job.ts'));
const networks = derived(() => import('../render/network.ts'));
const services = derived(() => import('../render/service.ts'));
const sessions = derived(() => import('../render/session.ts'));
const sets = derived(() => import('../render/set.ts'));
const sshs = derived(() => import('../render/ssh.ts'));
const stores = derived(() => import('../render/store.ts'));
const tokens = derived(() => import('../render/token.ts'));
const verifies = derived(() => import('../render/verify.ts'));

export const NOUNS: readonly Noun[] = [
  {
    ...{ name: 'store', group: 'Backups', about: 'the store' },
    commands: {
      create: byHand(() => import('../commands/store/store-create.ts')),
      ...stores('store', 'check', 'scrub', 'repair', 'sweep', 'usage', 'upgrade', 'rebuild-index'),
      adopt: byHand(() => import('../commands/store/store-adopt.ts')),
      cat: byHand(() => import('../commands/store/store-cat.ts')),
    },
  },
  {
    ...{ name: 'set', group: 'Backups', about: 'backup sets' },
    commands: {
      ...sets('set', 'list', 'show', 'change'),
      create: byHand(() => import('../commands/store/set-create.ts')),
      'export-key': byHand(() => import('../commands/store/set-export-key.ts')),
      'import-key': byHand(() => import('../commands/store/set-import-key.ts')),
      'add-passphrase': byHand(() => import('../commands/store/set-add-passphrase.ts')),
      'change-passphrase': byHand(() => import('../commands/store/set-change-passphrase.ts')),
      ...sets('set', 'remove-passphrase', 'change-recovery-key'),
      passkey: byHand(() => import('../commands/store/set-passkey.ts')),
      ...sets('set', 'remove-passkey', 'lock', 'remove'),
    },
  },
  {
    ...{ name: 'backup', group: 'Backups', about: 'recovery points' },
    commands: {
      create: byHand(() => import('../commands/backups/backup-create.ts')),
      export: byHand(() => import('../commands/backups/backup-export.ts')),
      import: byHand(() => import('../commands/backups/backup-import.ts')),
      'inspect-export': byHand(() => import('../commands/backups/backup-inspect-export.ts')),
      ...backups('backup', 'list', 'show', 'note', 'tag', 'untag', 'protect', 'unprotect'),
      ...backups('backup', 'hold', 'release', 'lock', 'retain', 'forget'),
    },
  },
  {
    ...{ name: 'hypervisor', group: 'Backups', about: 'hosts from which machines are backed up' },
    commands: {
      add: byHand(() => import('../commands/hypervisors/hypervisor-add.ts')),
      ...hypervisors('hypervisor', 'list', 'show', 'test', 'machines', 'change', 'remove'),
    },
  },
  {
    ...{ name: 'schedule', group: 'Backups', about: 'jobs at certain times' },
    commands: {
      create: byHand(() => import('../commands/jobs/schedule-create.ts')),
      ...jobs('schedule', 'list', 'run', 'change', 'pause', 'resume', 'remove'),
    },
  },
  {
    ...{ name: 'job', group: 'Backups', about: 'operations in the background' },
    commands: jobs('job', 'list', 'show', 'log', 'attend', 'unlock', 'cancel'),
  },
  {
    ...{ name: 'recover', group: 'Recovery', about: 'run a machine from a recovery point' },
    commands: { '': byHand(() => import('../commands/sessions/recover.ts')) },
  },
  {
    ...{ name: 'run', group: 'Recovery', about: 'run a machine on a hypervisor' },
    commands: {
      '': onAnyHost('session/run', () => import('../render/session.ts'), 'on'),
    },
  },
  {
    ...{ name: 'session', group: 'Recovery', about: 'recovery sessions' },
    commands: {
      ...sessions(
        'session',
        'list',
        'show',
        'log',
        'attend',
        'resume',
        'stop',
        'migrate',
        'power',
        'retry',
      ),
      ...sessions('session', 'finalize', 'keep', 'discard', 'abandon'),
    },
  },
  {
    ...{ name: 'export', group: 'Recovery', about: 'exports of running sessions' },
    commands: services('export', 'list'),
  },
  {
    ...{ name: 'restore', group: 'Recovery', about: 'machines and disks written back' },
    commands: {
      ...backups('restore', 'disk', 'images'),
      machine: onAnyHost('restore/machine', () => import('../render/restore.ts'), 'to'),
      'machine-disk': onAnyHost('restore/machine-disk', () => import('../render/restore.ts'), 'to'),
    },
  },
  {
    ...{ name: 'verify', group: 'Recovery', about: 'proof that recovery points boot' },
    commands: {
      '': byHand(() => import('../commands/backups/verify-point.ts')),
      show: byHand(() => import('../commands/backups/verify-show.ts')),
      ...verifies('verify', 'latest', 'measure', 'capacity'),
    },
  },
  {
    ...{ name: 'files', group: 'Recovery', about: 'single files' },
    commands: {
      list: byHand(() => import('../commands/files/files-list.ts')),
      find: byHand(() => import('../commands/files/files-find.ts')),
      get: byHand(() => import('../commands/files/files-get.ts')),
      open: byHand(() => import('../commands/files/files-open.ts')),
      browse: byHand(() => import('../commands/files/files-browse.ts')),
      ...files('files', 'copy', 'put'),
      opened: byHand(() => import('../commands/files/files-opened.ts')),
      close: byHand(() => import('../commands/files/files-close.ts')),
    },
  },
  {
    ...{ name: 'mount', group: 'Recovery', about: 'show recovery points and sessions as files' },
    commands: { '': byHand(() => import('../commands/backups/mount.ts')) },
  },
  {
    ...{ name: 'service', group: 'Service', about: 'what the service does' },
    commands: {
      ...services('service', 'show', 'throughput'),
      follow: byHand(() => import('../commands/watch/service-follow.ts')),
    },
  },
  {
    ...{ name: 'alarm', group: 'Service', about: 'alarms' },
    commands: {
      ...alarms('alarm', 'list'),
      acknowledge: byHand(() => import('../commands/watch/alarm-acknowledge.ts')),
    },
  },
  {
    ...{ name: 'clock', group: 'Service', about: 'the time by which locks end' },
    commands: alarms('clock', 'show', 'confirm'),
  },
  {
    ...{ name: 'notify', group: 'Service', about: 'notifications of alarms' },
    commands: alarms('notify', 'test'),
  },
  {
    ...{ name: 'token', group: 'Service', about: 'tokens for remote access' },
    commands: tokens('token', 'create', 'list', 'revoke'),
  },
  {
    ...{ name: 'audit', group: 'Service', about: 'who changed what' },
    commands: audits('audit', 'show', 'check'),
  },
  {
    ...{ name: 'lockdown', group: 'Service', about: 'queries, recoveries and checks only' },
    commands: tokens('lockdown', 'show', 'on', 'off'),
  },
  {
    ...{ name: 'support', group: 'Service', about: 'logs and settings for a support request' },
    commands: { create: byHand(() => import('../commands/watch/support-create.ts')) },
  },
  {
    ...{ name: 'network', group: 'This host', about: 'interfaces and addresses' },
    commands: {
      ...networks('network', 'show'),
      change: byHand(() => import('../commands/network/network-change.ts')),
      ...networks('network', 'remove', 'confirm', 'revert', 'test', 'reset'),
    },
  },
  {
    ...{ name: 'host', group: 'This host', about: 'name, time, accounts and power' },
    commands: {
      ...hosts('host', 'show'),
      set: byHand(() => import('../commands/host/host-set.ts')),
      ...hosts('host', 'password', 'finish-set-up', 'reboot', 'poweroff', 'factory-reset'),
    },
  },
  {
    ...{ name: 'ssh', group: 'This host', about: 'logins over SSH' },
    commands: {
      ...sshs('ssh', 'show', 'on', 'off'),
      shell: byHand(() => import('../commands/host/ssh-shell.ts')),
      'key list': byHand(() => import('../commands/host/ssh-key-list.ts')),
      'key add': byHand(() => import('../commands/host/ssh-key-add.ts')),
      ...sshs('ssh', 'key remove'),
    },
  },
  {
    ...{ name: 'disk', group: 'This host', about: 'disks and their health' },
    commands: disks('disk', 'list'),
  },
  {
    ...{ name: 'pool', group: 'This host', about: 'disks for backups' },
    commands: disks('pool', 'create'),
  },
  {
    ...{ name: 'console', group: 'Program', about: 'all of this on a full screen' },
    commands: { '': byHand(() => import('../commands/watch/console.ts')) },
  },
  {
    ...{ name: 'completion', group: 'Program', about: 'completion scripts for shells' },
    commands: {
      '': async () => (await import('./completion-command.ts')).completionCommand(NOUNS),
    },
  },
  {
    ...{ name: 'man', group: 'Program', about: 'the manual page' },
    commands: { '': async () => (await import('./man-command.ts')).manCommand(NOUNS) },
  },
];
