import { deepEqual, equal, match } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { watchChecks } from '../../../src/sessions/proof/checks.ts';
import type { RunningGuest } from '../../../src/sessions/proof/running-guest.ts';
import type { SeenScreen } from '../../../src/sessions/proof/verdict.ts';
import type { RunScript } from '../../../src/sessions/proof/script-checks.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';

const CHECKS = { agent: false, texts: [], screen: true, ports: [], http: [], scripts: [] };

function around(directory: string) {
  return {
    clock: fakeClock('2026-11-30T02:00:00Z'),
    place: { id: '0123456789abcdef', sockets: directory, guest: join(directory, 'guest') },
    timeoutMs: 60_000,
    runScript: () => Promise.reject(new Error('no script is asked for')),
  };
}

/** What `--screen` makes of a screen that has not changed for `quietMs`. */
async function screenCheck(seen: SeenScreen, { quietMs = 30_000, serial = '' } = {}) {
  const guest: Partial<RunningGuest> = {
    serial: { text: serial, length: serial.length, push() {} },
    ended: undefined,
  };
  await using checks = watchChecks(CHECKS, {
    ...{ guest: guest as RunningGuest, ...around(temporaryDirectory()) },
  });
  const [asked, ...more] = checks.look({ picture: undefined, seen, quietMs, look: async () => {} });
  deepEqual(more, []);
  return asked!;
}

test('a picture at rest passes; one that changes, or an empty one, does not', async () => {
  equal((await screenCheck({ isBlank: false })).hasPassed, true);
  equal((await screenCheck({ isBlank: false }, { quietMs: 29_000 })).hasPassed, false);
  equal((await screenCheck({ isBlank: true })).hasPassed, false);
});

test('text at rest passes only in a guest that is up: a loader that hangs rests too', async () => {
  const texts = ['Booting from Hard Disk...', ' GNU GRUB  version 2.06\n*Debian GNU/Linux', ''];
  for (const text of texts) {
    const { hasPassed, detail } = await screenCheck({ isBlank: false, text });
    equal(hasPassed, false, text);
    match(detail, /text that does not show a system that is up/);
  }
  equal((await screenCheck({ isBlank: false, text: 'web1 login:' })).hasPassed, true);
  const elsewhere = { serial: 'web1 login: ' };
  equal((await screenCheck({ isBlank: false, text: 'fbcon ready' }, elsewhere)).hasPassed, true);
});

const LOGIN = 'web1 login: ';

interface Scripted {
  readonly runScript: RunScript;
  readonly serial?: string;
  readonly texts?: readonly string[];
  readonly clock?: ReturnType<typeof fakeClock>;
}

/** Checks with two scripts, of a guest with this serial line. */
function scripted({ runScript, serial = LOGIN, texts = [], ...given }: Scripted) {
  const guest: Partial<RunningGuest> = {
    serial: { text: serial, length: serial.length, push() {} },
    ended: undefined,
  };
  const checks = watchChecks(
    { ...CHECKS, screen: false, texts, scripts: ['db', 'web'] },
    { ...{ guest: guest as RunningGuest, ...around(temporaryDirectory()) }, ...given, runScript },
  );
  const screen = { picture: undefined, seen: { isBlank: true }, quietMs: 0, look: async () => {} };
  return { checks, look: () => checks.look(screen) };
}

test('scripts run in order once the guest is up, and what they print is kept', async () => {
  const ran: string[] = [];
  const { checks, look } = scripted({
    async runScript({ script, proof, seconds }) {
      ran.push(`${script} ${proof} ${seconds}`);
      return { isPassed: true, detail: `exit code 0: ${script} is whole` };
    },
  });
  await using _ = checks;
  look();
  await until('both have run', () => look().every(({ hasPassed }) => hasPassed));
  deepEqual(ran, ['db 0123456789abcdef 57', 'web 0123456789abcdef 57']);
  deepEqual(
    checks.results().map(({ kind, what, outcome, detail }) => [kind, what, outcome, detail]),
    [
      ['script', 'db', 'passed', 'exit code 0: db is whole'],
      ['script', 'web', 'passed', 'exit code 0: web is whole'],
    ],
  );
});

test('a script that hangs is ended before the boot is, so that what it has printed is kept', async () => {
  const clock = fakeClock('2026-11-30T02:00:00Z');
  const left: number[] = [];
  const { checks, look } = scripted({
    clock,
    async runScript({ seconds }) {
      left.push(seconds);
      await clock.advance(58_500);
      return { isPassed: true, detail: '' };
    },
  });
  await using _ = checks;
  look();
  await until('both have run', () => look().every(({ hasPassed }) => hasPassed));
  deepEqual(left, [57, 1]);
});

test('a script that fails is the last word: the next one does not run', async () => {
  const ran: string[] = [];
  const { checks, look } = scripted({
    async runScript({ script }) {
      ran.push(script);
      return { isPassed: false, detail: 'exit code 3: no table' };
    },
  });
  await using _ = checks;
  look();
  await until('one has run', () => look().some(({ isOver }) => isOver));
  look();
  deepEqual(ran, ['db']);
  deepEqual(
    checks.results().map(({ what, outcome }) => [what, outcome]),
    [
      ['db', 'failed'],
      ['web', 'not-tried'],
    ],
  );
});

test('a script does not run before the guest is up and all other checks have passed', async () => {
  let count = 0;
  const runScript: RunScript = async () => {
    count++;
    return { isPassed: true, detail: '' };
  };
  for (const asked of [{ serial: 'Booting' }, { texts: ['database is ready'] }]) {
    const { checks, look } = scripted({ ...asked, runScript });
    await using _ = checks;
    look();
    look();
  }
  equal(count, 0);
});

test('without a sandbox nothing is said of the guest', async () => {
  const cause = new Error('systemd makes no sandbox');
  const { checks, look } = scripted({ runScript: () => Promise.reject(cause) });
  await using _ = checks;
  await until('it is known', () => {
    try {
      return look().length === 0;
    } catch (error) {
      return error === cause;
    }
  });
});
