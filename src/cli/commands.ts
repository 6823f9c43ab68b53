import type { Command } from './command.ts';

/** A command by its words; the rest is loaded when it is wanted, for a quick start. */
export interface CommandEntry {
  readonly words: readonly string[];
  readonly summary: string;
  load(): Promise<Command>;
}

function entry(
  words: string,
  summary: string,
  load: () => Promise<{ readonly command: Command }>,
): CommandEntry {
  return { words: words.split(' '), summary, load: async () => (await load()).command };
}

export const COMMANDS: readonly CommandEntry[] = [
  entry('store create', 'make a store', () => import('./commands/store-create.ts')),
  entry('store check', 'look for damage', () => import('./commands/store-check.ts')),
  entry(
    'store rebuild-index',
    'rebuild the index from the packs',
    () => import('./commands/store-rebuild-index.ts'),
  ),
  entry(
    'store upgrade',
    'give an older store the features of new ones',
    () => import('./commands/store-upgrade.ts'),
  ),
  entry(
    'store adopt',
    'show orders that this box did not give, and accept them',
    () => import('./commands/store-adopt.ts'),
  ),
  entry(
    'store cat',
    'show a record or a file of the store as JSON',
    () => import('./commands/store-cat.ts'),
  ),
  entry(
    'store usage',
    'show how full the store is, and when it will be full',
    () => import('./commands/store-usage.ts'),
  ),
  entry('set create', 'make a backup set', () => import('./commands/set-create.ts')),
  entry(
    'set export-key',
    'print the key of a set, to keep on paper',
    () => import('./commands/set-export-key.ts'),
  ),
  entry(
    'set import-key',
    'make a lost record of a set again from its key',
    () => import('./commands/set-import-key.ts'),
  ),
  entry('set list', 'list backup sets', () => import('./commands/set-list.ts')),
  entry(
    'backup create',
    'make a recovery point from disk images',
    () => import('./commands/backup-create.ts'),
  ),
  entry('backup list', 'list recovery points', () => import('./commands/backup-list.ts')),
  entry('backup show', 'show a recovery point', () => import('./commands/backup-show.ts')),
  entry(
    'backup retain',
    'forget recovery points by age',
    () => import('./commands/backup-retain.ts'),
  ),
  entry('backup forget', 'remove a recovery point', () => import('./commands/backup-forget.ts')),
  entry(
    'restore disk',
    'write a disk to a file, a device or an NBD server',
    () => import('./commands/restore-disk.ts'),
  ),
  entry(
    'recover',
    'run a recovery point: export its disks over NBD',
    () => import('./commands/recover.ts'),
  ),
  entry(
    'mount',
    'show recovery points and running sessions as files',
    () => import('./commands/mount.ts'),
  ),
  entry(
    'files open',
    "open the volumes in a recovery point's disks as directories",
    () => import('./commands/files-open.ts'),
  ),
  entry(
    'files browse',
    'list a directory of an open volume',
    () => import('./commands/files-browse.ts'),
  ),
  entry('files copy', 'copy files out of an open volume', () => import('./commands/files-copy.ts')),
  entry('files opened', 'list what is open', () => import('./commands/files-opened.ts')),
  entry('files close', 'unmount what is open', () => import('./commands/files-close.ts')),
  entry(
    'files list',
    "list files in a recovery point's disk",
    () => import('./commands/files-list.ts'),
  ),
  entry(
    'files find',
    "find files in a recovery point's disk",
    () => import('./commands/files-find.ts'),
  ),
  entry(
    'files get',
    "copy files out of a recovery point's disk",
    () => import('./commands/files-get.ts'),
  ),
  entry(
    'support create',
    'collect logs and settings for a support request',
    () => import('./commands/support-create.ts'),
  ),
  entry(
    'completion',
    'print what bash needs to complete commands',
    () => import('./commands/completion.ts'),
  ),
  entry('man', 'print the manual page', () => import('./commands/man.ts')),
  entry(
    'console',
    'show status, sessions and jobs on a full screen',
    () => import('./commands/console.ts'),
  ),
  entry(
    'export list',
    'list what running sessions export, and to whom',
    () => import('./commands/export-list.ts'),
  ),
  entry('session list', 'list recovery sessions', () => import('./commands/session-list.ts')),
  entry('session show', 'show a recovery session', () => import('./commands/session-show.ts')),
  entry(
    'session log',
    'show what happened to a session since the service was started',
    () => import('./commands/session-log.ts'),
  ),
  entry(
    'session resume',
    'resume a session in the service',
    () => import('./commands/session-resume.ts'),
  ),
  entry(
    'session stop',
    'flush a session that the service runs, and stop it',
    () => import('./commands/session-stop.ts'),
  ),
  entry('job list', 'list jobs of the service', () => import('./commands/job-list.ts')),
  entry('job show', 'show a job', () => import('./commands/job-show.ts')),
  entry('job log', "read a job's log", () => import('./commands/job-log.ts')),
  entry('job attend', 'wait for a job', () => import('./commands/job-attend.ts')),
  entry(
    'job unlock',
    'give a job the key that it waits for',
    () => import('./commands/job-unlock.ts'),
  ),
  entry('job cancel', 'cancel a job that waits or runs', () => import('./commands/job-cancel.ts')),
  entry(
    'schedule create',
    'back up or check at certain times',
    () => import('./commands/schedule-create.ts'),
  ),
  entry('schedule list', 'list schedules', () => import('./commands/schedule-list.ts')),
  entry('schedule remove', 'remove a schedule', () => import('./commands/schedule-remove.ts')),
  entry('alarm list', 'list alarms', () => import('./commands/alarm-list.ts')),
  entry('alarm acknowledge', 'acknowledge alarms', () => import('./commands/alarm-acknowledge.ts')),
  entry(
    'notify test',
    'send a test to all who are notified of alarms',
    () => import('./commands/notify-test.ts'),
  ),
  entry(
    'network show',
    'show interfaces, addresses, routes and name servers',
    () => import('./commands/network-show.ts'),
  ),
  entry(
    'network change',
    'set up an interface; rolled back unless confirmed',
    () => import('./commands/network-change.ts'),
  ),
  entry(
    'network remove',
    'remove the settings of an interface',
    () => import('./commands/network-remove.ts'),
  ),
  entry(
    'network confirm',
    'confirm a change of the network',
    () => import('./commands/network-confirm.ts'),
  ),
  entry(
    'network revert',
    'roll back a change of the network now',
    () => import('./commands/network-revert.ts'),
  ),
  entry(
    'network test',
    'try gateways, name servers and a host',
    () => import('./commands/network-test.ts'),
  ),
  entry(
    'network reset',
    'emergency: use DHCP on all wired interfaces',
    () => import('./commands/network-reset.ts'),
  ),
  entry(
    'lockdown on',
    'allow only what a recovery needs',
    () => import('./commands/lockdown-on.ts'),
  ),
  entry(
    'lockdown off',
    'end the lockdown, or agree to its end',
    () => import('./commands/lockdown-off.ts'),
  ),
  entry(
    'lockdown show',
    'show whether the lockdown is on',
    () => import('./commands/lockdown-show.ts'),
  ),
  entry(
    'host show',
    'show name, time, keyboard and accounts of this machine',
    () => import('./commands/host-show.ts'),
  ),
  entry(
    'host set',
    'set name, time zone, time servers and keyboard',
    () => import('./commands/host-set.ts'),
  ),
  entry(
    'host password',
    "set the administrator's password",
    () => import('./commands/host-password.ts'),
  ),
  entry(
    'host finish-set-up',
    "end the set-up: the machine's screen asks for a login",
    () => import('./commands/host-finish-set-up.ts'),
  ),
  entry('host reboot', 'reboot the machine', () => import('./commands/host-reboot.ts')),
  entry('host poweroff', 'switch the machine off', () => import('./commands/host-poweroff.ts')),
  entry(
    'host factory-reset',
    'reset the machine to how it was delivered; never the store',
    () => import('./commands/host-factory-reset.ts'),
  ),
  entry(
    'ssh show',
    'show who may log in over SSH, and until when',
    () => import('./commands/ssh-show.ts'),
  ),
  entry('ssh on', 'allow logins over SSH, for some time', () => import('./commands/ssh-on.ts')),
  entry('ssh off', 'stop allowing logins over SSH', () => import('./commands/ssh-off.ts')),
  entry(
    'ssh shell',
    'allow a shell over SSH for some time',
    () => import('./commands/ssh-shell.ts'),
  ),
  entry(
    'ssh key list',
    'list the keys that may log in',
    () => import('./commands/ssh-key-list.ts'),
  ),
  entry('ssh key add', 'allow a public key to log in', () => import('./commands/ssh-key-add.ts')),
  entry(
    'ssh key remove',
    'remove a key that may log in',
    () => import('./commands/ssh-key-remove.ts'),
  ),
  entry(
    'disk list',
    'list disks, their contents and their health',
    () => import('./commands/disk-list.ts'),
  ),
  entry(
    'pool create',
    'format a disk to keep backups on',
    () => import('./commands/pool-create.ts'),
  ),
  entry(
    'token create',
    'create a token for requests from other hosts',
    () => import('./commands/token-create.ts'),
  ),
  entry('token list', 'list tokens', () => import('./commands/token-list.ts')),
  entry('token revoke', 'revoke a token', () => import('./commands/token-revoke.ts')),
  entry('audit show', 'show who changed what', () => import('./commands/audit-show.ts')),
  entry(
    'audit check',
    'check whether the audit log was altered',
    () => import('./commands/audit-check.ts'),
  ),
  entry(
    'service follow',
    'print what happens to sessions and jobs, as it happens',
    () => import('./commands/service-follow.ts'),
  ),
  entry(
    'service throughput',
    'show what guests and backups read and write',
    () => import('./commands/service-throughput.ts'),
  ),
  entry('service show', 'show what the service does', () => import('./commands/service-show.ts')),
  entry(
    'session discard',
    'throw away what a session wrote',
    () => import('./commands/session-discard.ts'),
  ),
  entry(
    'session keep',
    'make a session a new recovery point',
    () => import('./commands/session-keep.ts'),
  ),
];

export function findCommand(words: readonly string[]): CommandEntry | undefined {
  return COMMANDS.find((entry) => entry.words.every((word, at) => words[at] === word));
}
