import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { equal, ok } from 'node:assert/strict';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { test } from 'tap';
import { expectDone, run } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { without } from '../support/programs.ts';
import { type ServiceHome, serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const DOCS = 'docs';
const SESSION = /\bweb1-[0-9a-f]{6}\b/g;

/** What a chapter tells to type, in order: the indented lines that begin with the name of a program. */
function commandsOf(chapter: string): string[] {
  return readFileSync(join(DOCS, chapter), 'utf8')
    .split('\n')
    .filter((line) => /^ {4,}(holdfast|qemu-img) /.test(line))
    .map((line) => line.replace(/#.*$/, '').trim());
}

/** Types what a chapter says, with sessions and files of its own in the place of those that the chapter names. */
function reader(home: ServiceHome, root: string) {
  const sessions = new Map<string, string>();
  const sheet = join(root, 'sheet');

  async function begin(): Promise<string> {
    const { result } = await expectDone(home.holdfast('recover', 'web1@latest', '--detach'));
    return result['session'] as string;
  }
  /** A session that the chapter names without having begun it is a stopped one. */
  async function sessionNamed(name: string): Promise<string> {
    const known = sessions.get(name);
    if (known !== undefined) return known;
    const session = await begin();
    sessions.set(name, session);
    await expectDone(home.holdfast('session', 'stop', session));
    return session;
  }
  async function inPlace(command: string): Promise<string> {
    let own = command.replaceAll('/srv/', `${root}/srv/`).replace(/\bsheet$/, sheet);
    for (const [name] of command.matchAll(SESSION)) {
      const session = await sessionNamed(name);
      // For a user other than root it is another one.
      if (own.includes('nbd+unix:')) own = own.replace(/nbd\+unix:[^']+/, await addressOf(session));
      own = own.replaceAll(name, session);
    }
    return own;
  }
  async function addressOf(session: string): Promise<string> {
    const { result } = await expectDone(home.holdfast('session', 'show', session));
    return (result['attach'] as { exports: { uri: string }[] }).exports[0]!.uri;
  }
  async function holdfast(words: readonly string[]): Promise<void> {
    const text = words.join(' ');
    const secret = ['--passphrase-file', home.passphrase];
    // The key of a set is never given out by a service.
    if (text.startsWith('set export-key')) {
      const { stdout } = await expectDone(run([...words, '--store', home.store, ...secret]));
      writeFileSync(sheet, stdout);
      return;
    }
    const given = text.startsWith('set import-key') ? secret : [];
    const { code, stderr, result } = await home.holdfast(...words, ...given);
    equal(code, 0, `holdfast ${text}: ${stderr}`);
    // The chapter goes on with the one that it has begun.
    if (words[0] === 'recover') sessions.set('web1-3f9c2a', result['session'] as string);
  }
  return async (command: string): Promise<void> => {
    const [program, ...words] = (await inPlace(command)).split(/\s+/);
    if (program === 'holdfast') return holdfast(words);
    if (without(program!)) return;
    const plain = words.map((word) => word.replaceAll("'", ''));
    await promisify(execFile)(program!, plain);
  };
}

for (const chapter of readdirSync(DOCS)) {
  test(`what docs/${chapter} tells to type works`, async () => {
    const commands = commandsOf(chapter);
    ok(commands.length > 0);
    const root = temporaryDirectory();
    mkdirSync(join(root, 'srv'));
    const home = serviceHome(root);
    const image = join(root, 'disk.raw');
    makeRawDisk(image, 4 * 2 ** 20, 10);
    await using _service = await serviceWith(home, image);
    const backup = ['backup', 'create', 'nightly', '--machine', 'web1', '--disk', `vda=${image}`];
    await expectDone(home.holdfast(...backup));
    const type = reader(home, root);
    for (const command of commands) await type(command);
  });
}
