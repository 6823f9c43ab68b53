import { deepEqual, equal, rejects } from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { test } from 'tap';
import { type Picture, PPM_LENGTH_MAX } from '../../../src/formats/image/picture.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import { pictureIn, type RunningGuest } from '../../../src/sessions/proof/running-guest.ts';
import { watchScreen } from '../../../src/sessions/proof/screen-watch.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const SMALL: Picture = { width: 2, height: 1, rgb: Uint8Array.from([0, 0, 0, 255, 255, 255]) };
const { signal } = new AbortController();

test('a screen in a mode that is too large is none: the guest cannot end its proof by it', async () => {
  const { files } = realWorld();
  const path = `${temporaryDirectory()}/screen.ppm`;
  writeFileSync(path, 'P6\n2 1\n255\n\0\0\0\u007f\u007f\u007f');
  equal((await pictureIn(files, path))?.width, 2);
  writeFileSync(path, 'P6\n16000 12000\n255\n');
  truncateSync(path, PPM_LENGTH_MAX + 1);
  equal(await pictureIn(files, path), undefined);
  writeFileSync(path, 'P6\n0 0\n255\n');
  equal(await pictureIn(files, path), undefined);
  await rejects(pictureIn(files, `${path}.gone`));
});

test('what a screen showed does not count for rest once it cannot be read', async () => {
  const clock = fakeClock('2026-11-30T02:00:00Z');
  let next: Picture | Error | undefined = SMALL;
  const guest = {
    ...{ serial: { text: '', length: 0, push() {} }, ended: undefined },
    async screen() {
      if (next instanceof Error) throw next;
      return next;
    },
  } satisfies Partial<RunningGuest>;
  const watch = watchScreen(guest as Partial<RunningGuest> as RunningGuest, clock, undefined);
  async function afterMinute() {
    await clock.advance(60_000);
    await watch.look(signal);
    const { seen, quietMs, picture } = watch;
    return { isBlank: seen.isBlank, quietMs, hasPicture: picture !== undefined };
  }
  deepEqual(await afterMinute(), { isBlank: false, quietMs: 0, hasPicture: true });
  deepEqual(await afterMinute(), { isBlank: false, quietMs: 60_000, hasPicture: true });
  next = new HypervisorError('UNREACHABLE', 'QEMU is busy');
  deepEqual(await afterMinute(), { isBlank: false, quietMs: 120_000, hasPicture: true });
  next = undefined;
  deepEqual(await afterMinute(), { isBlank: true, quietMs: 0, hasPicture: false });
  deepEqual(await afterMinute(), { isBlank: true, quietMs: 60_000, hasPicture: false });
  next = SMALL;
  deepEqual(await afterMinute(), { isBlank: false, quietMs: 0, hasPicture: true });
});
