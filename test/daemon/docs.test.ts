import { readFileSync, readdirSync } from 'node:fs';
import { equal, ok } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { run } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const DOCS = 'docs';

/** What a chapter tells to type, in order: the indented lines that begin with the command's name. */
function commandsOf(chapter: string): string[][] {
  return readFileSync(join(DOCS, chapter), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('    holdfast '))
    .map((line) => line.replace(/#.*$/, '').trim().split(/\s+/).slice(1));
}

for (const chapter of readdirSync(DOCS)) {
  test(`what docs/${chapter} tells to type works`, async () => {
    const commands = commandsOf(chapter);
    ok(commands.length > 0);
    const root = temporaryDirectory();
    const home = serviceHome(root);
    const image = join(root, 'disk.raw');
    makeRawDisk(image, 4 * 2 ** 20, 10);
    await using _service = await serviceWith(home, image);
    for (const words of commands) {
      // The key of a set is never given out by a service.
      const isLocal = words.join(' ').startsWith('set export-key');
      const direct = ['--store', home.store, '--passphrase-file', home.passphrase];
      const { code, stderr } = await (isLocal
        ? run([...words, ...direct])
        : home.holdfast(...words));
      equal(code, 0, `holdfast ${words.join(' ')}: ${stderr}`);
    }
  });
}
