import { equal } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { selfSigned } from '../support/certificates.ts';
import { expectDone, runCli, startCli } from '../support/cli.ts';
import { makeDisk, makeExt } from '../support/guest-images.ts';
import { makeRawDisk } from '../support/images.ts';
import { program } from '../support/programs.ts';
import { type ServiceHome, serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const LIMIT_MS = 120_000;
/** The names that chapters use, and what they stand for. */
const SESSION = /\bweb1-[0-9a-f]{6}\b/g;
const POINT = /\bweb1-\d{8}T\d{6}Z-[0-9a-f]{6}\b/g;
const OPENED = /\b3f9c2a10\b/g;
const JOB = /\b(?:backup|restore)-\d{8}T\d{6}Z-[0-9a-f]{6}\b/g;
const PLAN = /\bPLAN\b/g;
/** Places of the chapters' host that are below a directory here. */
const PLACES = /(?<![\w.])\/(?=(?:srv|images|mnt|backups)\/)/g;

/** What would change the machine that the test runs on. */
const NEVER = /^(sudo|systemctl|holdfast (host|network|pool|ssh)) /;

/** Someone with a host on which the service runs, who types what a chapter says. */
export interface Reader extends AsyncDisposable {
  /** Rejects unless it ends with 0. */
  type(command: string): Promise<void>;
}

/** Where a chapter does not make it itself, there is a store with an encrypted set `nightly` and a backup of `web1`. */
export async function readerOf(commands: readonly string[]): Promise<Reader> {
  const root = temporaryDirectory();
  for (const name of ['srv', 'images', 'mnt', 'bin']) mkdirSync(join(root, name));
  const home = serviceHome(root);
  const own = { certificate: join(root, 'own.pem'), key: join(root, 'own.key') };
  await selfSigned(own, 'box', 'IP:127.0.0.1');
  home.configure({
    passphraseFiles: { nightly: home.passphrase },
    restores: join(root, 'srv/holdfast-restore'),
    listen: { address: '127.0.0.1:0', tokens: join(root, 'tokens.json'), ...own },
  });
  const image = await makeImages(root);
  const makesStore = commands.some((command) => command.startsWith('holdfast store create'));
  const service = makesStore ? await home.run() : await serviceWith(home, image);
  if (!makesStore) {
    const backup = ['backup', 'create', 'nightly', '--machine', 'web1', '--disk', `vda=${image}`];
    await expectDone(home.holdfast(...backup));
  }
  installCommand(root, home);
  const environment: Record<string, string> = {
    HOLDFAST_SOCKET: home.socket,
    PATH: `${join(root, 'bin')}:${process.env['PATH'] ?? ''}`,
  };
  const named = namesOf(home, environment);
  const shell = async (command: string): Promise<string> =>
    typed(command, { cwd: root, env: { ...process.env, ...environment } });

  async function recover(command: string): Promise<void> {
    const words = command.split(/\s+/).slice(1);
    const store = environment['HOLDFAST_STORE'];
    if (store === undefined) {
      const detach = words.includes('--detach') ? [] : ['--detach'];
      const { result } = await expectDone(home.holdfast(...words, ...detach));
      named.begun(String(result['session']));
      return;
    }
    // It runs until Ctrl-C.
    const own = ['--store', store, '--passphrase-file', home.passphrase, '--json'];
    const running = await startCli([...words, ...own]);
    named.begun(running.ready.session);
    equal(await running.stop('SIGINT'), 0, command);
  }

  return {
    async type(text) {
      if (NEVER.test(text))
        throw new Error(`${text}: changes this machine: mark it "not run: WHY"`);
      const command = await named.inPlace(
        text.replaceAll(PLACES, `${root}/`).replaceAll('/run/holdfast/control.sock', home.socket),
      );
      const [, name, value] = /^export (\w+)=(\S+)$/.exec(command) ?? [];
      if (name !== undefined) {
        environment[name] = value!;
        // The service has another store: such commands are carried out without it.
        if (name === 'HOLDFAST_STORE') delete environment['HOLDFAST_SOCKET'];
      } else if (command.startsWith('holdfast recover ')) await recover(command);
      else {
        const output = await shell(command);
        if (command.includes('set export-key')) writeFileSync(join(root, 'sheet'), output);
      }
    },
    [Symbol.asyncDispose]: async () => void (await service.stop('SIGTERM')),
  };
}

/** `/images/web1.qcow2` with a file system on its second partition; answers the raw disk that it was made from. */
async function makeImages(root: string): Promise<string> {
  const tree = join(root, 'tree');
  for (const name of ['etc', 'home/ann']) mkdirSync(join(tree, name), { recursive: true });
  for (const name of ['etc/fstab', 'home/ann/letter.docx']) {
    writeFileSync(join(tree, name), `${name}\n`);
  }
  const boot = join(root, 'boot');
  makeRawDisk(boot, 2 ** 20, 10);
  const parts = [{ file: boot }, { file: await makeExt(join(root, 'ext4'), { tree }) }];
  const raw = join(root, 'disk.raw');
  await makeDisk(raw, { label: 'gpt', parts });
  const image = join(root, 'images', 'web1.qcow2');
  await program('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, image);
  return raw;
}

/** `holdfast` among the programs. It gives the passphrase that a terminal would ask for. */
function installCommand(root: string, { passphrase, store }: ServiceHome): void {
  const path = join(root, 'bin', 'holdfast');
  const text = `#!/bin/sh
given='--passphrase-file ${passphrase}'
case "$1 $2" in
  'set create' | 'set import-key') set -- "$@" $given ;;
  # The service gives no keys away: these are carried out here.
  'set export-key' | 'files list' | 'files find' | 'files get' | 'store cat') set -- "$@" --store ${store} $given ;;
  *) [ -z "\${HOLDFAST_STORE-}" ] || set -- "$@" $given ;;
esac
exec ${process.execPath} ${MAIN} "$@"
`;
  writeFileSync(path, text);
  chmodSync(path, 0o755);
}

/** Sessions, recovery points, jobs and the like of its own, in the place of those that a chapter names. */
function namesOf(home: ServiceHome, environment: Readonly<Record<string, string>>) {
  const sessions = new Map<string, string>();
  const asked = async (...words: string[]) => {
    const store = environment['HOLDFAST_STORE'];
    const { result } = await expectDone(
      store === undefined
        ? home.holdfast(...words)
        : runCli([...words, '--store', store, '--json']),
    );
    return result;
  };
  /** A session that the chapter names without having begun it is a stopped one. */
  async function sessionNamed(name: string): Promise<string> {
    const known = sessions.get(name);
    if (known !== undefined) return known;
    const { session } = await asked('recover', 'web1@latest', '--detach');
    sessions.set(name, String(session));
    await asked('session', 'stop', String(session));
    return String(session);
  }
  async function addressOf(session: string): Promise<string> {
    const { attach } = await asked('session', 'show', session);
    return (attach as { exports: { uri: string }[] }).exports[0]!.uri;
  }
  const first = async (list: string, field: string, ...words: string[]): Promise<string> => {
    const all = (await asked(...words))[list] as Record<string, unknown>[];
    return String(all[0]![field]);
  };
  return {
    /** The chapter goes on with the one that it has begun. */
    begun: (session: string) => void sessions.set('web1-3f9c2a', session),
    async inPlace(command: string): Promise<string> {
      let own = command;
      if (own.search(POINT) >= 0)
        own = own.replaceAll(POINT, await first('points', 'point', 'backup', 'list'));
      if (own.search(OPENED) >= 0)
        own = own.replaceAll(OPENED, await first('opened', 'id', 'files', 'opened'));
      if (own.search(JOB) >= 0)
        own = own.replaceAll(JOB, await first('jobs', 'job', 'job', 'list'));
      if (own.search(PLAN) >= 0)
        own = own.replaceAll(PLAN, String((await asked('store', 'adopt'))['plan']));
      for (const [name] of command.matchAll(SESSION)) {
        const session = await sessionNamed(name);
        // For a user other than root it is another one.
        if (own.includes('nbd+unix:')) {
          own = own.replace(/nbd\+unix:[^']+/, await addressOf(session));
        }
        own = own.replaceAll(name, session);
      }
      return own;
    },
  };
}

function typed(command: string, options: { cwd: string; env: NodeJS.ProcessEnv }): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  execFile('sh', ['-euc', command], { ...options, timeout: LIMIT_MS }, (error, stdout, stderr) => {
    if (error === null) resolve(stdout);
    else reject(new Error(`${command}: ${error.message}\n${stderr}${stdout}`));
  });
  return promise;
}
