import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { test } from 'tap';
import { completionOf } from '../../src/cli/reference/completion.ts';
import { commandHelp } from '../../src/cli/reference/help.ts';
import { allCommands } from '../../src/cli/base/noun.ts';
import { NOUNS } from '../../src/cli/reference/nouns.ts';
import { GENERAL } from '../../src/cli/base/rows.ts';
import { expectDone, runCli } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { without } from '../support/programs.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { openScreen } from '../support/tmux.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const root = temporaryDirectory();
// As it is called where it is installed.
const program = join(root, 'holdfast');
writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`, { mode: 0o755 });
const image = join(root, 'disk.raw');
makeRawDisk(image, 2 ** 20, 10);
const script = join(root, 'completion');
writeFileSync(script, (await runCli(['completion', 'bash'])).stdout);

/** What bash would offer at the end of the line; `:files` where it goes on by itself. */
function offered(line: string, socket = join(root, 'absent.sock')): readonly string[] {
  // As readline splits it (COMP_WORDBREAKS); outside of a completion there is no compopt.
  const parts: string[] = line.match(/[=:@]+|[^\s=:@]+/g) ?? [];
  if (/\s$/.test(line)) parts.push('');
  const drive = [
    `compopt() { echo :files; }; . '${script}'; COMP_LINE=$1 COMP_POINT=\${#1}; shift`,
    'COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _holdfast; printf "%s\\n" "${COMPREPLY[@]}"',
  ].join('\n');
  const { stdout, stderr, signal } = spawnSync('bash', ['-c', drive, 'bash', line, ...parts], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, PATH: `${root}:${process.env['PATH']}`, HOLDFAST_SOCKET: socket },
  });
  equal(stderr, '');
  equal(signal, null, 'a person at the key would wait forever');
  return stdout.split('\n').filter((it) => it !== '');
}

test('every command and every option of each completes, since the program itself lists them', async () => {
  const first = offered('holdfast ');
  for (const [words, { options }] of await allCommands(NOUNS)) {
    ok(first.includes(words.split(' ')[0]!), words);
    const all = await completionOf([...words.split(' '), '-'], NOUNS);
    const names = ['help', ...[...GENERAL, ...options].map(({ name }) => name)];
    deepEqual(all.words.map(([word]) => word).sort(), names.map((it) => `--${it}`).sort(), words);
  }
  deepEqual(offered('holdfast job c'), ['cancel']);
  deepEqual(offered('holdfast backup create x --mach'), ['--machine']);
  deepEqual(offered('holdfast recover x --when-full '), ['pause', 'refuse']);
  deepEqual(offered('holdfast restore disk x vda --format q'), ['qcow2']);
  deepEqual(offered('holdfast restore disk x vda --to '), [':files']);
  deepEqual(offered('holdfast backup create x --disk vda=/'), [':files']);
  deepEqual(offered('holdfast nonsense '), []);
  deepEqual(offered('holdfast job list '), []);
});

test('names come from the service, and where none answers there are none', async () => {
  const home = serviceHome(temporaryDirectory());
  await using _service = await serviceWith(home, image);
  const at = (line: string): readonly string[] => offered(line, home.socket);
  deepEqual(at('holdfast backup retain '), ['nightly']);
  deepEqual(at('holdfast backup list --machine '), ['vm']);
  const [latest, point] = at('holdfast recover ');
  equal(latest, 'vm@latest');
  match(point!, /^vm-\d{8}T\d{6}Z-[0-9a-f]{6}$/);
  deepEqual(at('holdfast recover vm@la'), ['latest'], 'bash keeps what stands before the @');
  deepEqual(at('holdfast recover vm@'), ['latest']);
  deepEqual(at('holdfast restore disk vm@latest '), ['vda']);
  const started = await expectDone(home.holdfast('recover', 'vm@latest', '--detach'));
  deepEqual(at('holdfast session keep '), [started.result['session']]);
  deepEqual(at('holdfast files list vm-'), [point, started.result['session']]);
  const queued = await expectDone(home.holdfast('store', 'check', '--queue'));
  deepEqual(at('holdfast job log '), [queued.result['job']]);
  const check = ['schedule', 'create', 'verify', '--at', 'daily', '--check'];
  await expectDone(home.holdfast(...check));
  deepEqual(at('holdfast schedule remove '), ['verify']);
  deepEqual(offered('holdfast session keep '), []);
});

test('a service that accepts the request and never answers holds up no completion', async () => {
  const socket = join(root, 'silent.sock');
  // Connected to by the kernel alone, while this process waits for bash.
  const silent = createServer().listen(socket);
  await once(silent, 'listening');
  deepEqual(offered('holdfast recover ', socket), []);
  deepEqual(offered('holdfast recover --when-full ', socket), ['pause', 'refuse']);
  silent.close();
});

test('in a real bash the key Tab writes it', { skip: without('tmux') }, async () => {
  const settings = join(root, 'bashrc');
  writeFileSync(settings, `PS1='$ '; PATH=${root}:$PATH; . '${script}'\n`);
  const shell = ['bash', '--noprofile', '--rcfile', settings, '-i'];
  using screen = openScreen(shell, { directory: root, term: 'screen' });
  await screen.shows(/^\$/m);
  screen.keys('complete -p holdfast', 'Enter');
  await screen.shows(/^complete -F _holdfast holdfast$/m);
  screen.keys('holdfast rec', 'Tab', '--when-f', 'Tab', 'ref', 'Tab');
  await screen.shows(/^\$ holdfast recover --when-full refuse$/m);
});

test('the manual page is without a fault, and has every command with its help', {
  skip: without('man', 'groff'),
}, async () => {
  const page = join(root, 'holdfast.1');
  writeFileSync(page, (await runCli(['man'])).stdout);
  const checked = spawnSync('man', ['--warnings', '--local-file', page], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '120', MANROFFOPT: '-ww' },
  });
  deepEqual([checked.status, checked.stderr], [0, '']);
  const text = stripVTControlCharacters(checked.stdout).replaceAll(/.[\b]/g, '');
  for (const [words, command] of await allCommands(NOUNS)) {
    const lines = commandHelp(words, command).split('\n').slice(0, -2);
    for (const line of lines) ok(text.includes(line.trim()), `${words}: ${line}`);
  }
  match(text, /EXIT STATUS.*130 +interrupted/s);
  const name = execFileSync('lexgrog', [page], { encoding: 'utf8' });
  match(name, /"holdfast - keeps backups/);
});
