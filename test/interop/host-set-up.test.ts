import { equal, match, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'tap';
import { debianHost, debianHostMissing } from '../support/debian-host.ts';
import { loopDisk, nameDisk } from '../support/loop-disk.ts';
import { without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { openScreen } from '../support/tmux.ts';

// As somebody does it who stands before a machine that is new: with its screen and keyboard only.

const WIRE = '[NetDev]\nName=v0\nKind=veth\n[Peer]\nName=v0p\n';
const TITLES = [
  ...['Name', 'Network', 'Time zone', 'Time servers', 'Keyboard', 'Administrator', 'SSH keys'],
  ...['Disk for backups', 'Store', 'First backup set', 'Finish'],
];
const skip = debianHostMissing || without('tmux');
const directory = temporaryDirectory();
const loop = skip === false ? loopDisk(directory) : undefined;
const host = skip === false ? await debianHost(directory, loop) : undefined;

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
  await shows(/Once more/);
  type('correct horse');
  enter();
  await shows(/^ done +Administrator/m);
  await step('SSH keys');
  await shows(/Public key/);
  type((await run('cat', '/root/key.pub')).trim());
  enter();
  await shows(/^ done +SSH keys +1 let in/m);

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
  await shows(/Once more/);
  type('battery staple');
  enter();
  const shown = await shows(/The recovery key of "nightly"[^]*Enter, once it is written down/);
  const key = /^ {5,}(\S+-\S+)$/m.exec(shown)![1]!;
  enter();
  ok(!(await shows(/Type its last group/)).includes(key));
  type(key.split('-').at(-1)!);
  enter();
  await shows(/The recovery key of "\w+" is confirmed/);
  await step('Finish');
  equal(await screen.ended(), 0);

  equal((await run('hostname')).trim(), 'box7');
  match(await run('findmnt', '-no', 'FSTYPE', '/var/lib/holdfast'), /xfs/);
  match(await run('holdfast', 'set', 'list'), /nightly/);
  match(await run('passwd', '--status', 'admin'), /^admin P /);
  const audit = await run('holdfast', 'audit', 'show');
  ok(!/correct horse|battery staple/.test(audit + (await run('journalctl', '--no-pager'))));
});

test('the machine powers off', { skip }, async () => host![Symbol.asyncDispose]());
