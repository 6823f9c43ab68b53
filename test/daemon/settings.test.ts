import { deepEqual, throws } from 'node:assert/strict';
import { test } from 'tap';
import { parseSettings, settingsIn } from '../../src/daemon/settings.ts';
import { realFileSystem } from '../../src/sys/files/real-file-system.ts';
import { SystemError } from '../../src/sys/base/system-error.ts';

test('an empty file means the defaults', async () => {
  const missing = await settingsIn(realFileSystem(), '/nowhere/holdfastd.json');
  deepEqual(parseSettings('f', '{}'), missing);
});

test('what is wrong is named by file and line', async () => {
  const wrong: [string, RegExp][] = [
    ['{\n  "stroe": "/x"\n}', /^f: line 2: stroe: there is no such field; expected one of store/],
    ['{\n\n  "store": "x" }', /^f: line 3: store: not a path/],
    ['{\n  "passphraseFiles": {\n    "a": 3 } }', /^f: line 3: passphraseFiles.a: a text/],
    ['{\n  "store": }', /^f: line 2: /],
    [
      '{"alarms": {\n"poolWarningPercent": 96}}',
      /^f: line 2: alarms.poolWarningPercent: more than/,
    ],
    ['{"notify": {\n"webhook": "ftp://S3CRET"}}', /^f: line 2: notify.webhook: not an address of /],
    ['{"notify": {"mail": {"from": "a@b",\n"to": []}}}', /^f: line 2: notify.mail.to: a list of 1/],
    ['{"notify": {"mail": {"from": "a@b",\n"to": ["-x@b"]}}}', /^f: line 2: .* not a mail address/],
    [
      '{"notify": {"mail": {"to": ["a@b"],\n"from": "a@b\\nBcc: c@d"}}}',
      /^f: line 2: .* not a mail/,
    ],
    ['{"lockdown": {\n"persons": 3}}', /^f: line 2: lockdown.persons: a number from 1 to 2/],
    ['{"index": {\n"memory": 8}}', /^f: line 2: index.memory: a number from 32 to/],
    ['[]', /^f: line 1: an object, not a list/],
  ];
  for (const [source, message] of wrong) {
    throws(
      () => parseSettings('f', source),
      (error: Error) =>
        error instanceof SystemError &&
        message.test(error.message) &&
        !error.message.includes('S3CRET'),
      source,
    );
  }
});
