import type { Command, CommandEntry } from '../base/command.ts';

function entry(
  words: string,
  summary: string,
  load: () => Promise<{ readonly command: Command }>,
): CommandEntry {
  return { words: words.split(' '), summary, load: async () => (await load()).command };
}

export const COMMANDS: readonly CommandEntry[] = [
  entry('store create', 'make a store', () => import('../commands/store/store-create.ts')),
  entry('store check', 'look for damage', () => import('../commands/store/store-check.ts')),
  entry(
    'store rebuild-index',
    'rebuild the index from the packs',
    () => import('../commands/store/store-rebuild-index.ts'),
  ),
  entry(
    'store upgrade',
    'give an older store the features of new ones',
    () => import('../commands/store/store-upgrade.ts'),
  ),
  entry(
    'store adopt',
    'show orders that this box did not give, and accept them',
    () => import('../commands/store/store-adopt.ts'),
  ),
  entry(
    'store cat',
    'show a record or a file of the store as JSON',
    () => import('../commands/store/store-cat.ts'),
  ),
  entry(
    'store usage',
    'show how full the store is, and when it will be full',
    () => import('../commands/store/store-usage.ts'),
  ),
  entry('set create', 'make a backup set', () => import('../commands/store/set-create.ts')),
  entry(
    'set export-key',
    'print the key of a set, to keep on paper',
    () => import('../commands/store/set-export-key.ts'),
  ),
  entry(
    'set import-key',
    'make a lost record of a set again from its key',
    () => import('../commands/store/set-import-key.ts'),
  ),
  entry('set list', 'list backup sets', () => import('../commands/store/set-list.ts')),
  entry(
    'backup create',
    'make a recovery point from disk images',
    () => import('../commands/backups/backup-create.ts'),
  ),
  entry('backup list', 'list recovery points', () => import('../commands/backups/backup-list.ts')),
  entry('backup show', 'show a recovery point', () => import('../commands/backups/backup-show.ts')),
  entry(
    'backup retain',
    'forget recovery points by age',
    () => import('../commands/backups/backup-retain.ts'),
  ),
  entry(
    'backup forget',
    'remove a recovery point',
    () => import('../commands/backups/backup-forget.ts'),
  ),
  entry(
    'restore disk',
    'write a disk to a file, a device or an NBD server',
    () => import('../commands/backups/restore-disk.ts'),
  ),
  entry(
    'recover',
    'run a recovery point: export its disks over NBD',
    () => import('../commands/sessions/recover.ts'),
  ),
  entry(
    'mount',
    'show recovery points and running sessions as files',
    () => import('../commands/backups/mount.ts'),
  ),
  entry(
    'files open',
    "open the volumes in a recovery point's disks as directories",
    () => import('../commands/files/files-open.ts'),
  ),
  entry(
    'files browse',
    'list a directory of an open volume',
    () => import('../commands/files/files-browse.ts'),
  ),
  entry(
    'files copy',
    'copy files out of an open volume',
    () => import('../commands/files/files-copy.ts'),
  ),
  entry('files opened', 'list what is open', () => import('../commands/files/files-opened.ts')),
  entry('files close', 'unmount what is open', () => import('../commands/files/files-close.ts')),
  entry(
    'files list',
    "list files in a recovery point's disk",
    () => import('../commands/files/files-list.ts'),
  ),
  entry(
    'files find',
    "find files in a recovery point's disk",
    () => import('../commands/files/files-find.ts'),
  ),
  entry(
    'files get',
    "copy files out of a recovery point's disk",
    () => import('../commands/files/files-get.ts'),
  ),
  entry(
    'support create',
    'collect logs and settings for a support request',
    () => import('../commands/watch/support-create.ts'),
  ),
  entry('completion', 'print what bash needs to complete commands', async () => {
    const { completionCommand } = await import('./completion-command.ts');
    return { command: completionCommand(COMMANDS) };
  }),
  entry('man', 'print the manual page', async () => {
    const { manCommand } = await import('./man-command.ts');
    return { command: manCommand(COMMANDS) };
  }),
  entry(
    'console',
    'show status, sessions and jobs on a full screen',
    () => import('../commands/watch/console.ts'),
  ),
  entry(
    'export list',
    'list what running sessions export, and to whom',
    () => import('../commands/sessions/export-list.ts'),
  ),
  entry(
    'session list',
    'list recovery sessions',
    () => import('../commands/sessions/session-list.ts'),
  ),
  entry(
    'session show',
    'show a recovery session',
    () => import('../commands/sessions/session-show.ts'),
  ),
  entry(
    'session log',
    'show what happened to a session since the service was started',
    () => import('../commands/sessions/session-log.ts'),
  ),
  entry(
    'session resume',
    'resume a session in the service',
    () => import('../commands/sessions/session-resume.ts'),
  ),
  entry(
    'session stop',
    'flush a session that the service runs, and stop it',
    () => import('../commands/sessions/session-stop.ts'),
  ),
  entry('job list', 'list jobs of the service', () => import('../commands/jobs/job-list.ts')),
  entry('job show', 'show a job', () => import('../commands/jobs/job-show.ts')),
  entry('job log', "read a job's log", () => import('../commands/jobs/job-log.ts')),
  entry('job attend', 'wait for a job', () => import('../commands/jobs/job-attend.ts')),
  entry(
    'job unlock',
    'give a job the key that it waits for',
    () => import('../commands/jobs/job-unlock.ts'),
  ),
  entry(
    'job cancel',
    'cancel a job that waits or runs',
    () => import('../commands/jobs/job-cancel.ts'),
  ),
  entry(
    'schedule create',
    'back up or check at certain times',
    () => import('../commands/jobs/schedule-create.ts'),
  ),
  entry('schedule list', 'list schedules', () => import('../commands/jobs/schedule-list.ts')),
  entry(
    'schedule remove',
    'remove a schedule',
    () => import('../commands/jobs/schedule-remove.ts'),
  ),
  entry('alarm list', 'list alarms', () => import('../commands/watch/alarm-list.ts')),
  entry(
    'alarm acknowledge',
    'acknowledge alarms',
    () => import('../commands/watch/alarm-acknowledge.ts'),
  ),
  entry(
    'notify test',
    'send a test to all who are notified of alarms',
    () => import('../commands/watch/notify-test.ts'),
  ),
  entry(
    'network show',
    'show interfaces, addresses, routes and name servers',
    () => import('../commands/network/network-show.ts'),
  ),
  entry(
    'network change',
    'set up an interface; rolled back unless confirmed',
    () => import('../commands/network/network-change.ts'),
  ),
  entry(
    'network remove',
    'remove the settings of an interface',
    () => import('../commands/network/network-remove.ts'),
  ),
  entry(
    'network confirm',
    'confirm a change of the network',
    () => import('../commands/network/network-confirm.ts'),
  ),
  entry(
    'network revert',
    'roll back a change of the network now',
    () => import('../commands/network/network-revert.ts'),
  ),
  entry(
    'network test',
    'try gateways, name servers and a host',
    () => import('../commands/network/network-test.ts'),
  ),
  entry(
    'network reset',
    'emergency: use DHCP on all wired interfaces',
    () => import('../commands/network/network-reset.ts'),
  ),
  entry(
    'lockdown on',
    'allow only what a recovery needs',
    () => import('../commands/watch/lockdown-on.ts'),
  ),
  entry(
    'lockdown off',
    'end the lockdown, or agree to its end',
    () => import('../commands/watch/lockdown-off.ts'),
  ),
  entry(
    'lockdown show',
    'show whether the lockdown is on',
    () => import('../commands/watch/lockdown-show.ts'),
  ),
  entry(
    'host show',
    'show name, time, keyboard and accounts of this machine',
    () => import('../commands/host/host-show.ts'),
  ),
  entry(
    'host set',
    'set name, time zone, time servers and keyboard',
    () => import('../commands/host/host-set.ts'),
  ),
  entry(
    'host password',
    "set the administrator's password",
    () => import('../commands/host/host-password.ts'),
  ),
  entry(
    'host finish-set-up',
    "end the set-up: the machine's screen asks for a login",
    () => import('../commands/host/host-finish-set-up.ts'),
  ),
  entry('host reboot', 'reboot the machine', () => import('../commands/host/host-reboot.ts')),
  entry(
    'host poweroff',
    'switch the machine off',
    () => import('../commands/host/host-poweroff.ts'),
  ),
  entry(
    'host factory-reset',
    'reset the machine to how it was delivered; never the store',
    () => import('../commands/host/host-factory-reset.ts'),
  ),
  entry(
    'ssh show',
    'show who may log in over SSH, and until when',
    () => import('../commands/host/ssh-show.ts'),
  ),
  entry(
    'ssh on',
    'allow logins over SSH, for some time',
    () => import('../commands/host/ssh-on.ts'),
  ),
  entry('ssh off', 'stop allowing logins over SSH', () => import('../commands/host/ssh-off.ts')),
  entry(
    'ssh shell',
    'allow a shell over SSH for some time',
    () => import('../commands/host/ssh-shell.ts'),
  ),
  entry(
    'ssh key list',
    'list the keys that may log in',
    () => import('../commands/host/ssh-key-list.ts'),
  ),
  entry(
    'ssh key add',
    'allow a public key to log in',
    () => import('../commands/host/ssh-key-add.ts'),
  ),
  entry(
    'ssh key remove',
    'remove a key that may log in',
    () => import('../commands/host/ssh-key-remove.ts'),
  ),
  entry(
    'disk list',
    'list disks, their contents and their health',
    () => import('../commands/host/disk-list.ts'),
  ),
  entry(
    'pool create',
    'format a disk to keep backups on',
    () => import('../commands/host/pool-create.ts'),
  ),
  entry(
    'token create',
    'create a token for requests from other hosts',
    () => import('../commands/host/token-create.ts'),
  ),
  entry('token list', 'list tokens', () => import('../commands/host/token-list.ts')),
  entry('token revoke', 'revoke a token', () => import('../commands/host/token-revoke.ts')),
  entry('audit show', 'show who changed what', () => import('../commands/watch/audit-show.ts')),
  entry(
    'audit check',
    'check whether the audit log was altered',
    () => import('../commands/watch/audit-check.ts'),
  ),
  entry(
    'service follow',
    'print what happens to sessions and jobs, as it happens',
    () => import('../commands/watch/service-follow.ts'),
  ),
  entry(
    'service throughput',
    'show what guests and backups read and write',
    () => import('../commands/watch/service-throughput.ts'),
  ),
  entry(
    'service show',
    'show what the service does',
    () => import('../commands/watch/service-show.ts'),
  ),
  entry(
    'session discard',
    'throw away what a session wrote',
    () => import('../commands/sessions/session-discard.ts'),
  ),
  entry(
    'session keep',
    'make a session a new recovery point',
    () => import('../commands/sessions/session-keep.ts'),
  ),
];

export function findCommand(words: readonly string[]): CommandEntry | undefined {
  return COMMANDS.find((entry) => entry.words.every((word, at) => words[at] === word));
}
