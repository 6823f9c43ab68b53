import type { Mutant } from './mutant.ts';

const LATE = 'test/console/late-answers.test.ts';

export const screens: readonly Mutant[] = [
  {
    name: 'console: what is chosen is a row, whatever stands in it by then',
    file: 'src/console/app/pages.ts',
    text: 'is.indexOf(id)',
    to: 'row',
    tests: [LATE],
  },
  {
    name: 'console: a refusal is shown of whatever is looked at by then',
    file: 'src/console/app/responses.ts',
    text: 'isStillAsked(model, look) ? look.query.refused(up, message) : up',
    to: 'look.query.refused(up, message)',
    tests: [LATE],
  },
  {
    name: 'console: alarms that are not known are none',
    file: 'src/console/pages/status.ts',
    text: " && standing.kind === 'known';",
    to: ';',
    tests: [LATE],
  },
  {
    name: 'console: clients that were counted some time ago are believed',
    file: 'src/console/pages/sessions.ts',
    text: ' && nowMs - exports.atMs < FRESH_MS;',
    to: ';',
    tests: [LATE],
  },
  {
    name: 'console: what ends changes the screen under a person who has gone to another',
    file: 'src/console/app/responses.ts',
    text: 'model.dialog !== undefined || model.screen !== task.from;',
    to: 'model.dialog !== undefined;',
    tests: [LATE],
  },
  {
    name: 'console: the key that leaves loses a recovery key on a small terminal',
    file: 'src/console/app/update.ts',
    text: ' && !isAtStake;',
    to: ' && (isAtStake || true);',
    tests: ['test/console/pages/machine.test.ts'],
  },
  {
    name: 'recover: a terminal that goes away stops the session',
    file: 'src/cli/base/served-session.ts',
    text: '    if (signal.reason instanceof Interrupted && signal.reason.isHungUp) return false;\n',
    to: '',
    tests: ['test/daemon/service.test.ts'],
  },
  {
    name: 'support: a part of a bundle stays',
    file: 'src/cli/base/written-file.ts',
    text: '    await files.unlink(to);\n',
    to: '',
    tests: ['test/daemon/support.test.ts'],
  },
  {
    name: 'prompt: a name is written as it is',
    file: 'src/sys/terminal/terminal.ts',
    text: 'writeSync(fd, printable(question));',
    to: 'writeSync(fd, question);',
    tests: ['test/cli/base/secrets.test.ts'],
  },
  {
    name: 'prompt: half a passphrase of a line that was hung up is a whole one',
    file: 'src/sys/terminal/terminal.ts',
    text: 'if (byte === undefined || byte === CONTROL_C)',
    to: 'if (byte === undefined) return Uint8Array.from(bytes);\n    if (byte === CONTROL_C)',
    tests: ['test/cli/base/secrets.test.ts'],
  },
  {
    name: 'console: what shows a changed noun stays as it was',
    file: 'src/console/app/queries.ts',
    text: 'OPERATIONS[call.name].shows.some((it) => nouns.includes(it))',
    to: 'false',
    tests: ['test/console/app/queries.test.ts'],
  },
];
