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
    'give a store of an earlier release what new stores have',
    () => import('./commands/store-upgrade.ts'),
  ),
  entry(
    'store adopt',
    'show orders that this box did not give, and obey them',
    () => import('./commands/store-adopt.ts'),
  ),
  entry(
    'store cat',
    'show a record or a file of the store as JSON',
    () => import('./commands/store-cat.ts'),
  ),
  entry(
    'store usage',
    'how full the store is, and when it will be',
    () => import('./commands/store-usage.ts'),
  ),
  entry('set create', 'make a backup set', () => import('./commands/set-create.ts')),
  entry(
    'set export-key',
    'print the key of a set, for paper',
    () => import('./commands/set-export-key.ts'),
  ),
  entry(
    'set import-key',
    'make the record of a set again from its key on paper',
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
    'collect what helps to help',
    () => import('./commands/support-create.ts'),
  ),
  entry(
    'completion',
    'what a shell needs to complete commands',
    () => import('./commands/completion.ts'),
  ),
  entry('man', 'the manual page', () => import('./commands/man.ts')),
  entry('console', 'a screen for people', () => import('./commands/console.ts')),
  entry(
    'export list',
    'list what running sessions export, and to whom',
    () => import('./commands/export-list.ts'),
  ),
  entry('session list', 'list recovery sessions', () => import('./commands/session-list.ts')),
  entry('session show', 'show a recovery session', () => import('./commands/session-show.ts')),
  entry(
    'session log',
    'what happened to a session since the service was started',
    () => import('./commands/session-log.ts'),
  ),
  entry(
    'session resume',
    'run a session again in the service',
    () => import('./commands/session-resume.ts'),
  ),
  entry(
    'session stop',
    'flush a session that the service runs, and leave it',
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
  entry('job cancel', 'end a job, or never begin it', () => import('./commands/job-cancel.ts')),
  entry(
    'schedule create',
    'back up or check at certain times',
    () => import('./commands/schedule-create.ts'),
  ),
  entry('schedule list', 'list schedules', () => import('./commands/schedule-list.ts')),
  entry('schedule remove', 'remove a schedule', () => import('./commands/schedule-remove.ts')),
  entry('alarm list', 'what needs somebody', () => import('./commands/alarm-list.ts')),
  entry(
    'alarm acknowledge',
    'say that somebody takes care of alarms',
    () => import('./commands/alarm-acknowledge.ts'),
  ),
  entry(
    'notify test',
    'send a test to those who are told of alarms',
    () => import('./commands/notify-test.ts'),
  ),
  entry(
    'network show',
    'interfaces, addresses, routes and name servers',
    () => import('./commands/network-show.ts'),
  ),
  entry(
    'network change',
    'set up an interface; rolled back by itself unless confirmed',
    () => import('./commands/network-change.ts'),
  ),
  entry(
    'network remove',
    'set up an interface no more',
    () => import('./commands/network-remove.ts'),
  ),
  entry(
    'network confirm',
    'keep a change of the network',
    () => import('./commands/network-confirm.ts'),
  ),
  entry(
    'network revert',
    'roll a change of the network back now',
    () => import('./commands/network-revert.ts'),
  ),
  entry(
    'network test',
    'try gateways, name servers and a host',
    () => import('./commands/network-test.ts'),
  ),
  entry(
    'network reset',
    'emergency: DHCP on all wired interfaces',
    () => import('./commands/network-reset.ts'),
  ),
  entry(
    'lockdown on',
    'allow only what a recovery needs',
    () => import('./commands/lockdown-on.ts'),
  ),
  entry(
    'lockdown off',
    'agree to the end of the lockdown',
    () => import('./commands/lockdown-off.ts'),
  ),
  entry('lockdown show', 'whether it is on', () => import('./commands/lockdown-show.ts')),
  entry(
    'host show',
    'name, time, keyboard and accounts of this machine',
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
    "the machine's screen asks for a login from now on",
    () => import('./commands/host-finish-set-up.ts'),
  ),
  entry('host reboot', 'start the machine again', () => import('./commands/host-reboot.ts')),
  entry('host poweroff', 'switch the machine off', () => import('./commands/host-poweroff.ts')),
  entry(
    'host factory-reset',
    'the machine as it came; never the store',
    () => import('./commands/host-factory-reset.ts'),
  ),
  entry(
    'ssh show',
    'who comes in over SSH, and until when',
    () => import('./commands/ssh-show.ts'),
  ),
  entry('ssh on', 'let SSH in, for some time', () => import('./commands/ssh-on.ts')),
  entry('ssh off', 'let SSH in no more', () => import('./commands/ssh-off.ts')),
  entry(
    'ssh shell',
    'allow a shell over SSH for some time',
    () => import('./commands/ssh-shell.ts'),
  ),
  entry('ssh key list', 'list the keys that come in', () => import('./commands/ssh-key-list.ts')),
  entry(
    'ssh key add',
    'let somebody in by a public key',
    () => import('./commands/ssh-key-add.ts'),
  ),
  entry('ssh key remove', 'let a key in no more', () => import('./commands/ssh-key-remove.ts')),
  entry(
    'disk list',
    'disks, what is on them, and how they are',
    () => import('./commands/disk-list.ts'),
  ),
  entry(
    'pool create',
    'make a disk the one that backups are kept on',
    () => import('./commands/pool-create.ts'),
  ),
  entry(
    'token create',
    'let somebody ask from other hosts',
    () => import('./commands/token-create.ts'),
  ),
  entry('token list', 'list who may', () => import('./commands/token-list.ts')),
  entry('token revoke', 'let somebody in no more', () => import('./commands/token-revoke.ts')),
  entry('audit show', 'who changed what', () => import('./commands/audit-show.ts')),
  entry(
    'audit check',
    'whether the audit log was altered',
    () => import('./commands/audit-check.ts'),
  ),
  entry(
    'service follow',
    'tell what happens to sessions and jobs',
    () => import('./commands/service-follow.ts'),
  ),
  entry(
    'service throughput',
    'what guests and backups read and write',
    () => import('./commands/service-throughput.ts'),
  ),
  entry('service show', 'what the service does', () => import('./commands/service-show.ts')),
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
