import { ok } from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'tap';
import { isSuperuser } from '../../src/sys/process/run.ts';
import { without } from '../support/programs.ts';
import { blocksOf, commandsOf, PAGES } from './blocks.ts';
import { readerOf } from './reader.ts';

// As a reader types them, from the top of a page to its end. What is not typed is marked: see pages.test.ts.

const canMount = isSuperuser() && existsSync('/dev/fuse');

for (const page of PAGES) {
  const blocks = blocksOf(page).filter(({ language }) => language === 'sh');
  const typed = blocks.filter(({ mark }) => mark === undefined || (mark === 'as root' && canMount));
  if (typed.length === 0) continue;
  test(`what ${page} tells to type works`, {
    skip: without('qemu-img', 'mkfs.ext4', 'sfdisk', 'curl', 'openssl'),
  }, async () => {
    const commands = typed.flatMap(commandsOf);
    ok(commands.length > 0);
    await using reader = await readerOf(commands);
    for (const command of commands) await reader.type(command);
  });
}
