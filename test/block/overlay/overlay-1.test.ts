import { deepEqual, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { openOverlay } from '../../../src/block/overlay/overlay.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { base1, type Case1, overlayOfVersion1 } from '../../support/overlay-1.ts';
import { seeded } from '../../support/random.ts';
import { readAll } from '../conformance.ts';
import { ROOMY } from '../../support/space.ts';

// Overlays that the release of 22 November wrote.

const HOME = '/session';

async function found(which: Case1) {
  const disk = crashingFs(seeded(1));
  await disk.files.makeDirectory(HOME);
  const wanted = await overlayOfVersion1(disk.files, HOME, which);
  return { disk, files: disk.files, wanted };
}

function open(files: FileSystem) {
  const place = { files, clock: systemClock(), directory: HOME, disk: 'vda', space: ROOMY };
  return openOverlay(place, base1());
}

test('overlays of version 1 are read as the release that wrote them reads them', async () => {
  for (const which of ['clean', 'killed', 'torn'] as const) {
    const { files, wanted } = await found(which);
    // Again too: what a killed process left was taken up then.
    for (let times = 0; times < 2; times++) {
      await using overlay = await open(files);
      deepEqual(await readAll(overlay), wanted.contents, which);
      deepEqual(overlay.written(), wanted.written, which);
    }
  }
});

test('a damaged map of version 1 is refused, and stays as it is', async () => {
  const { files } = await found('rotten');
  const before = await files.readFile(`${HOME}/vda.map`, 4096);
  await rejects(open(files), { code: 'CORRUPT', message: /vda.map is damaged at byte 24 of 108/ });
  deepEqual(await files.readFile(`${HOME}/vda.map`, 4096), before);
});
