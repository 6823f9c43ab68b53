import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'tap';
import { watchChecks } from '../../../src/sessions/proof/checks.ts';
import type { RunningGuest } from '../../../src/sessions/proof/running-guest.ts';
import type { SeenScreen } from '../../../src/sessions/proof/verdict.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const CHECKS = { agent: false, texts: [], screen: true, ports: [], http: [] };

/** What `--screen` makes of a screen that has not changed for `quietMs`. */
async function screenCheck(seen: SeenScreen, { quietMs = 30_000, serial = '' } = {}) {
  const guest: Partial<RunningGuest> = {
    serial: { text: serial, length: serial.length, push() {} },
    ended: undefined,
  };
  await using checks = watchChecks(CHECKS, {
    ...{ guest: guest as RunningGuest, directory: temporaryDirectory() },
    clock: fakeClock('2026-11-30T02:00:00Z'),
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
