import type { ResultOf } from '../../../src/operations/operations.ts';
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import {
  answerPage,
  type Driven,
  driveUp,
  GONE,
  hypervisor,
  refusal,
  TIME,
} from '../../support/console.ts';

// From a recovery point to the file with the keys of the console; the test is the service.

type Entry = ResultOf<'files/browse'>['entries'][number];

const OPENED: ResultOf<'files/open'> = {
  ...{ id: '3f9c2a10', point: 'web-1', at: '/run/x', disks: [{ disk: 'vda', path: '/run/y' }] },
  volumes: [volume('vda1', null), volume('vda2', 'swap space holds no files')],
};

function volume(name: string, closed: string | null) {
  const kind = closed === null ? 'ext4' : 'swap';
  return { volume: name, disk: 'vda', kind, found: kind, label: 'root', size: 2 ** 30, closed };
}

function entry(path: string, more: Partial<Entry> = {}): Entry {
  const plain = { kind: 'file', size: 2048, mode: 0o644, uid: 0, gid: 0, modified: TIME } as const;
  return { path, ...plain, target: null, ...more };
}

const directory = (path: string): Entry => entry(path, { kind: 'directory', size: 4096 });

function requestsOf(driven: Driven, name: string): unknown[] {
  return driven.asked.filter(({ call }) => call.name === name).map(({ call }) => call.request);
}

/** With the files of a recovery point open, and the list of volumes to be seen. */
function opened(): Driven {
  const driven = driveUp();
  driven.type('2');
  answerPage(driven, 3);
  driven.type('f');
  driven.answer('files/open', OPENED);
  const summary = { id: OPENED.id, point: OPENED.point, at: OPENED.at, opened: TIME, process: 1 };
  const { volumes } = OPENED;
  const foreign = { ...summary, id: 'other', point: 'db-2', volumes: [] };
  driven.answer('files/opened', {
    opened: [
      { ...summary, state: 'open', volumes },
      { ...foreign, state: 'open' },
    ],
  });
  return driven;
}

/** With the root of its first volume to be seen. */
function browsing(): Driven {
  const driven = opened();
  driven.type('\r');
  const entries = [directory('etc'), directory('home'), entry('notes', { target: null })];
  driven.answer('files/browse', { entries, total: 3, first: 0, refused: null });
  return driven;
}

test('f on a recovery point opens it; what cannot be opened says why', async () => {
  const driven = opened();
  equal(driven.model().screen, 'files');
  match(driven.text(), />web-1 +vda1 +ext4 +1.00 GiB +root/);
  match(driven.text(), /web-1 +vda2 +swap .*closed: sw/);
  match(driven.text(), /db-2 +- .*open by a /);
  driven.type('\u001b[B\r');
  match(driven.text(), /cannot be opened: swap space holds no files/);
  driven.type('\u001b[B\r');
  match(driven.text(), /a command on the host itself has it open/);
  equal(requestsOf(driven, 'files/browse').length, 0);
  driven.type('x');
  deepEqual(requestsOf(driven, 'files/close'), [{ id: 'other' }]);
});

test('a key that the service lacks is asked for', async () => {
  const driven = driveUp();
  driven.type('2');
  answerPage(driven, 3);
  driven.type('f');
  driven.fail('files/open', refusal('the service has no passphrase', 'nightly'));
  driven.type('correct horse\r');
  const [ask] = driven.asked.filter(({ call }) => call.name === 'files/open');
  equal(ask?.secret?.kind, 'passphrase');
});

test('directories are entered and left, each listed once', async () => {
  const driven = browsing();
  match(driven.text(), /vda1:\/ .* 1 of 3/);
  match(driven.text(), />. +etc\//);
  match(driven.text(), /notes +2.00 KiB +2026-11-21 18:00/);
  driven.tick(60_000);
  equal(requestsOf(driven, 'files/browse').length, 0, 'it is not listed over and over');
  driven.type('\u001b[B\r');
  deepEqual(requestsOf(driven, 'files/browse'), [
    { id: OPENED.id, volume: 'vda1', path: '/home', first: 0, count: 300 },
  ]);
  driven.type('\u007f');
  driven.answer('files/browse', {
    entries: [entry('home/late')],
    total: 1,
    first: 0,
    refused: null,
  });
  ok(!/late/.test(driven.text()), 'an answer about a directory that was left');
  driven.tick();
  const entries = [directory('etc'), entry('\u001b[31mred')];
  driven.answer('files/browse', { entries, total: 2, first: 0, refused: 'not all could be read' });
  match(driven.text(), /\?\[31mred/);
  match(driven.text(), /not all could be read/);
  driven.type('u');
  equal(driven.model().screen, 'files');
});

test('what is marked is copied, or else what is chosen', async () => {
  const driven = browsing();
  driven.type('c');
  match(driven.text(), /Copy etc/);
  driven.type('\u001b');
  driven.type(' \u001b[B\u001b[B ');
  match(driven.text(), /, 2 marked/);
  driven.type('c');
  match(driven.text(), /Copy 2 files and directories/);
  driven.type('\r');
  deepEqual(requestsOf(driven, 'files/copy'), [
    { id: OPENED.id, volume: 'vda1', paths: ['etc', 'notes'], to: 'web-1', overwrite: false },
  ]);
  driven.answer('files/copy', { volume: 'vda1', to: '/srv/x/web-1/', lost: ['chown failed'] });
  const last = driven.model().log.at(-1)?.text ?? '';
  match(last, /copied to \/srv\/x\/web-1\/, without some permissions.*chown/);
});

test('a volume closed in the meantime is reported, and a restarted service forgets all', async () => {
  const driven = browsing();
  driven.type('\r');
  driven.fail('files/browse', refusal('no open restore 3f9c2a10'));
  driven.tick(60_000);
  match(driven.text(), /no open restore 3f9c2a10/);
  equal(requestsOf(driven, 'files/browse').length, 0);
  driven.fail('service/show', GONE);
  equal(driven.model().place, undefined);
});

test('a file is put into a running guest; a directory is not', async () => {
  const driven = browsing();
  driven.type('p');
  match(driven.text(), /Only a file can be put into a guest/);
  driven.answer('hypervisor/list', { hypervisors: [hypervisor()], damaged: [] });
  driven.type('\u001b[B\u001b[Bp');
  match(driven.text(), /Put notes into a running guest\n.*Hypervisor +\[ < kvm1 > \]/);
  const there = { hypervisor: 'kvm1', product: 'x', places: null };
  const machines = [
    { machine: 'db', power: 'on' },
    { machine: 'off', power: 'off' },
  ];
  driven.answer('hypervisor/machines', { ...there, machines: machines as never });
  driven.type('\t');
  match(driven.text(), /Machine +\[ web_ \]\n.*Path +\[ \/notes \]/);
  match(driven.text(), /Known: db$/m);
  driven.type('\u001b[C\t.old\r');
  deepEqual(requestsOf(driven, 'files/put'), [
    {
      ...{ what: 'web-1', disk: 'vda', path: '/notes', to: 'kvm1/db:/notes.old', volume: 'vda1' },
      ...{ overwrite: false, isolated: false },
    },
  ]);
  driven.fail('files/put', refusal('/notes.old exists there'));
  match(driven.text(), /Put notes into .*\/notes\.old exists there/s);
  driven.type('\t \r');
  const put = { machine: 'db', path: '/notes.old', size: 2048, sha256: 'x', replaced: true };
  driven.answer('files/put', { ...put, lost: ['its owner'] });
  match(
    driven.model().log.at(-1)!.text,
    /kvm1\/db:\/notes\.old: replaced, and compared \(2\.00 KiB\); not done: its owner/,
  );
});
