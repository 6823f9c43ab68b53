import { equal, match, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'tap';
import { debianHost, debianHostMissing } from '../support/debian-host.ts';
import { loopDisk, nameDisk } from '../support/loop-disk.ts';
import { without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { openScreen } from '../support/tmux.ts';
import { until as eventually } from '../support/until.ts';

// As a person does it at a new machine: with only its screen and keyboard.

const WIRE = '[NetDev]\nName=v0\nKind=veth\n[Peer]\nName=v0p\n';
const TITLES = [
  ...['Name', 'Network', 'Time zone', 'Time servers', 'Keyboard', 'Administrator', 'SSH keys'],
  ...['Disk for backups', 'Store', 'First backup set', 'Finish'],
];
const skip = debianHostMissing || without('tmux');
const directory = temporaryDirectory();
const loop = skip === false ? loopDisk(directory) : undefined;
const host = skip === false ? await debianHost(directory, loop) : undefined;

/** The other end of a serial line, read and forgotten; the kernel's name of the line comes first. */
const LINE = `
  $| = 1;
  open(my $end, "+<", "/dev/ptmx") or die $!;
  ioctl($end, 0x40045431, my $unlock = pack("i", 0)) or die $!;
  ioctl($end, 0x80045430, my $number = pack("i", 0)) or die $!;
  print unpack("i", $number), "\\n";
  while (1) { sysread($end, my $bytes, 4096) or sleep 1 }`;

/** The status pages on its lines, and what groups each of them has. */
async function pages(): Promise<ReadonlyMap<string, readonly string[]>> {
  const { stdout } = await host!.tryRun(
    ...(['sh', '-c', 'grep -H "^Uid\\|^Groups" /proc/[0-9]*/status'] as const),
  );
  const own = (await host!.run('id', '-u', 'holdfast-console')).trim();
  const uids = [...stdout.matchAll(/^\/proc\/(\d+)\/status:Uid:\t(\d+)/gm)];
  return new Map(
    uids
      .filter(([, , uid]) => uid === own)
      .map(([, pid]) => {
        const groups = new RegExp(`^/proc/${pid}/status:Groups:\\t(.*)$`, 'm').exec(stdout)![1]!;
        return [pid!, groups.trim().split(' ')] as const;
      }),
  );
}

const until = (what: string, isSo: () => Promise<boolean>): Promise<void> =>
  eventually(what, isSo, () => host!.run('journalctl', '--no-pager', '-n', '80'));

test('a new machine is set up at its screen, from its name to the recovery key', {
  skip: skip || (loop === undefined && 'this machine has no loop devices'),
}, async () => {
  const { run, path } = host!;
  await run('sh', `${process.cwd()}/appliance/install`, '--offline', '--ssh');
  writeFileSync(path('/etc/holdfast/first-boot'), '');
  writeFileSync(path('/etc/systemd/network/50-wire.netdev'), WIRE);
  await run('systemctl', 'mask', 'systemd-networkd-wait-online.service');
  await run('systemctl', 'enable', '--now', 'systemd-networkd.service');
  await run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'ann', '-f', '/root/key');
  await run('ip', 'link', 'set', 'v0p', 'up');
  await nameDisk(host!, loop!);
  // Two lines beside that screen, which no person uses.
  writeFileSync(path('/root/line'), LINE);
  await run('systemd-run', '-p', 'StandardOutput=file:/root/number', 'perl', '/root/line');
  const number = async () => (await host!.tryRun('cat', '/root/number')).stdout.trim();
  await until('a line', async () => (await number()) !== '');
  await run('sh', `${process.cwd()}/appliance/install`, '--offline', '--console=console');
  await run('systemctl', 'start', `holdfast-console@pts-${await number()}.service`);
  const mayAll = (await run('getent', 'group', 'holdfast')).split(':')[2]!;
  const openPages = async () =>
    [...(await pages())].filter(([, groups]) => groups.includes(mayAll)).map(([pid]) => pid);
  await until('on both lines', async () => (await openPages()).length === 2);

  const command = host!.command('TERM=linux', 'holdfast', 'console', '--login');
  using screen = openScreen(command, { directory, term: 'linux' });
  const { shows } = screen;
  const type = (text: string): void => screen.keys('-l', text);
  const enter = (): void => screen.keys('Enter');
  /** As long as that name is. */
  const clear = (text: string): void => screen.keys(...Array.from(text, () => 'BSpace'));

  await shows(/^>(-|done) +Name +\S/m);
  const name = (await run('hostname')).trim();
  enter();
  await shows(/Name +\[ \S+_ \]/);
  clear(name);
  type('box7');
  enter();
  await shows(/^ done +Name +box7/m);

  // Network: one wire, confirmed.
  await shows(/^>- +Network/m);
  enter();
  await shows(/^>v0 /m);
  enter();
  await shows(/Addresses +\[ < DHCP > \]/);
  screen.keys('Right', 'Down');
  type('10.9.0.5/24');
  enter();
  await shows(/the change of v0 is in force, and ROLLED BACK IN \d+ s/);
  match(await shows(/10\.9\.0\.5\/24/), /v0 .*holdfast +10\.9\.0\.5\/24/);
  type('c');
  await shows(/network: confirm: done/);
  await shows(/^(?![^]*ROLLED BACK)/);

  // From the first screen to the left is the last one.
  const toSetUp = async (): Promise<void> => {
    screen.keys('1');
    await shows(/\[1 Status\]/);
    screen.keys('Left');
    await shows(/\[Set-up\]/);
  };
  const step = async (title: string): Promise<void> => {
    screen.keys('Home');
    await shows(/^>\S+ +Name/m);
    for (let at = 0; at < TITLES.indexOf(title); at++) screen.keys('Down');
    await shows(new RegExp(`^>\\S+ +${title}`, 'm'));
    enter();
  };
  await toSetUp();
  await step('Administrator');
  await shows(/new password/);
  type('correct horse');
  enter();
  await shows(/Type it again/);
  type('correct horse');
  enter();
  await shows(/^ done +Administrator/m);
  await step('SSH keys');
  await shows(/Public key/);
  type((await run('cat', '/root/key.pub')).trim());
  enter();
  await shows(/^ done +SSH keys +1 may log in/m);

  await step('Disk for backups');
  const listing = await run('holdfast', 'disk', 'list', '--json');
  const { disks } = JSON.parse(listing) as { disks: { name: string }[] };
  await shows(new RegExp(`^>${disks[0]!.name} `, 'm'));
  for (let at = 0; disks[at]!.name !== loop; at++) screen.keys('Down');
  await shows(new RegExp(`^>${loop} `, 'm'));
  enter();
  await shows(/File system +\[ < xfs > \]/);
  enter();
  await shows(new RegExp(`pool on ${loop}: done`));
  await toSetUp();
  await step('Store');
  await shows(/^ done +Store +\/var\/lib\/holdfast\/store/m);
  await step('First backup set');
  await shows(/Encrypted +\[ yes \]/);
  enter();
  await shows(/The passphrase of "nightly"/);
  type('battery staple');
  enter();
  await shows(/Type it again/);
  type('battery staple');
  enter();
  const shown = await shows(/The recovery key of "nightly"[^]*Press Enter once it is written down/);
  const key = /^ {5,}(\S+-\S+)$/m.exec(shown)![1]!;
  enter();
  ok(!(await shows(/Type its last group/)).includes(key));
  type(key.split('-').at(-1)!);
  enter();
  await shows(/The recovery key of "\w+" is confirmed/);
  await step('Finish');
  equal(await screen.ended(), 0);
  // On all lines, not only where a person has finished.
  await until('closed', async () => (await openPages()).length === 0);
  await until('there again', async () => (await pages()).size === 2);
  equal((await openPages()).length, 0);

  equal((await run('hostname')).trim(), 'box7');
  match(await run('findmnt', '-no', 'FSTYPE', '/var/lib/holdfast'), /xfs/);
  match(await run('holdfast', 'set', 'list'), /nightly/);
  match(await run('passwd', '--status', 'admin'), /^admin P /);
  const audit = await run('holdfast', 'audit', 'show');
  ok(!/correct horse|battery staple/.test(audit + (await run('journalctl', '--no-pager'))));
});

test('a factory reset opens set-up on all lines again', {
  skip: skip || (loop === undefined && 'this machine has no loop devices'),
}, async () => {
  const before = await pages();
  await host!.run('holdfast', 'host', 'factory-reset', '--confirm', 'box7');
  const mayAll = (await host!.run('getent', 'group', 'holdfast')).split(':')[2]!;
  await until('open', async () => {
    const now = [...(await pages())].filter(([pid]) => !before.has(pid));
    return now.filter(([, groups]) => groups.includes(mayAll)).length === 2;
  });
});

test('a host powers off on request', { skip }, async () => host![Symbol.asyncDispose]());
