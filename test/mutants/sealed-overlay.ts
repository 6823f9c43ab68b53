import type { Mutant } from './mutant.ts';

const MODEL = 'test/block/sealed/model.test.ts';
const DAMAGE = 'test/block/sealed/damage.test.ts';
const FAULTS = 'test/block/sealed/faults.test.ts';
const COPIES = 'test/block/sealed/copies.test.ts';
const ROOM = 'test/block/sealed/room.test.ts';
const BOUNDS = 'test/block/sealed/bounds.test.ts';
const RECORDS = 'test/block/sealed/damaged-records.test.ts';
const UNREADABLE = 'test/block/sealed/unreadable.test.ts';
const NONCES = 'test/block/sealed/nonces.test.ts';

export const sealedOverlay: readonly Mutant[] = [
  {
    name: 'sealed overlay: the cleaner waits for writes that wait for space',
    file: 'src/block/sealed/log/log-writes.ts',
    text: 'turns.run(first, count, () => work(first, count))',
    to: 'turns.run(first, count, () => options.unmapped.during(first, count, () => work(first, count)))',
    tests: [FAULTS],
  },
  {
    name: 'sealed overlay: a dead segment vanishes before the record of it is durable',
    file: 'src/block/sealed/upkeep.ts',
    text: '    await flush().free();\n',
    to: `    await flush().free();
    for (const { number, isFreed } of segments.all()) {
      if (isFreed) await log.files.unlink(log.segmentPath(number));
    }
`,
    tests: [MODEL],
  },
  {
    name: 'sealed overlay: what died while a flush ran is freed after it',
    file: 'src/block/sealed/log/log-flush.ts',
    text: '    dead = deadNow;',
    to: '    dead = deadSegments(parts, head.position());',
    tests: [FAULTS],
  },
  {
    name: 'sealed overlay: a flush shares one that began before the last write',
    file: 'src/block/sealed/log/foreseen-flush.ts',
    text: '      foreseen = undefined;\n      underWay++;',
    to: '      underWay++;',
    tests: ['test/block/sealed/log/foreseen-flush.test.ts'],
  },
  {
    name: 'sealed overlay: a flush is foreseen while another write is under way',
    file: 'src/block/sealed/log/foreseen-flush.ts',
    text: '      if (--underWay > 0) return;',
    to: '      underWay--;',
    tests: ['test/block/sealed/log/foreseen-flush.test.ts'],
  },
  {
    name: 'sealed overlay: on a full disk the cleaner copies until nothing is left of the reserve',
    file: 'src/block/sealed/cleaning/clean.ts',
    text: 'isHurried && head.sealed - sealed >= COPIED_SEGMENTS * places',
    to: 'false',
    tests: [FAULTS],
  },
  {
    name: 'sealed overlay: on a full disk the cleaner copies while dead segments still take space',
    file: 'src/block/sealed/cleaning/clean.ts',
    text: 'if (isHurried && isFreeing()) return true;',
    to: '',
    tests: [FAULTS],
  },
  {
    name: 'sealed overlay: a summary is put before its segment is durable',
    file: 'src/block/sealed/upkeep.ts',
    text: 'number >= head.durable.segment',
    to: 'number >= head.position().segment',
    tests: [MODEL],
  },
  {
    name: 'sealed overlay: a flush says that what was sealed since it began is durable',
    file: 'src/block/sealed/log/log-flush.ts',
    text: '    head.durable = position;',
    to: '    head.durable = head.position();',
    tests: [MODEL],
  },
  {
    name: 'sealed overlay: void places are not recorded',
    file: 'src/block/sealed/log/log-flush.ts',
    text: '    await appendVoids();\n',
    to: '    head.voids.length = 0;\n',
    tests: [FAULTS, MODEL],
  },
  {
    name: 'sealed overlay: a place is sealed again after a failed write',
    file: 'src/block/sealed/log/log-head.ts',
    text: '    voids.push({ segment: segment.number, from: first, to: first + count });',
    to: '    if (segment === current?.segment) place = first;',
    tests: [FAULTS, NONCES],
  },
  {
    name: 'sealed overlay: the seal does not cover the page number',
    file: 'src/formats/store/sessions/overlay-log.ts',
    text: 'const aad = trailer.subarray(TAG_LENGTH, TRAILER_SEALED_END);',
    to: 'const aad = trailer.subarray(TAG_LENGTH + 6, TRAILER_CRC_AT);',
    tests: ['test/formats/store/sessions/overlay-log.test.ts'],
  },
  {
    name: 'sealed overlay: the head says which suite the overlay has',
    file: 'src/block/sealed/segments/log-files.ts',
    text: '  checkSuite(path, head.suite, expected.suite);\n',
    to: '',
    tests: [DAMAGE],
  },
  {
    name: 'sealed overlay: after a failed sync what memory holds is believed',
    file: 'src/block/sealed/log/proof.ts',
    text: '      await file.drop(0, places * PLACE_LENGTH);\n',
    to: '',
    tests: [FAULTS],
  },
  {
    name: 'sealed overlay: after a failed sync nothing is read back',
    file: 'src/block/sealed/log/log-flush.ts',
    text: '    const to = head.position();\n',
    to: '    const to = head.durable;\n',
    tests: [FAULTS],
  },
  {
    name: 'sealed overlay: the next process believes what memory holds after a failed sync',
    file: 'src/block/sealed/segments/log-state.ts',
    text: '  await file.drop(0, places * PLACE_LENGTH);\n',
    to: '',
    tests: [FAULTS],
  },
  {
    name: 'sealed overlay: recovery does not sync what it believes',
    file: 'src/block/sealed/segments/log-state.ts',
    text: '  await file.sync().catch(() => file.sync());\n',
    to: '',
    tests: [MODEL],
  },
  {
    name: 'sealed overlay: what is cleared ahead of flushes begins one place too early',
    file: 'src/block/sealed/log/log-head.ts',
    text: 'writeNow(zeros, place * PLACE_LENGTH)',
    to: 'writeNow(zeros, (place - 1) * PLACE_LENGTH)',
    tests: ['test/block/sealed/clear-ahead.test.ts'],
  },
  {
    name: 'sealed overlay: a flush that comes while a batch is being written syncs it, and no later one',
    file: 'src/block/sealed/log/batches.ts',
    text: '    batch.segment.isUnsynced = true;\n',
    to: '',
    tests: [MODEL],
  },
  {
    name: 'sealed overlay: a birth that is torn in its body is a damaged list',
    file: 'src/block/sealed/segments/survey.ts',
    text: "trailer && trailer.kind !== 'birth'",
    to: 'trailer',
    tests: [MODEL],
  },
  {
    name: 'sealed overlay: a used segment whose prefaces are broken is removed',
    file: 'src/block/sealed/segments/log-state.ts',
    text: 'else if (hasSummary || (await holdsSlots(log, number))) used.add(number);',
    to: 'else if (hasSummary) used.add(number);',
    tests: [DAMAGE],
  },
  {
    name: 'sealed overlay: a segment answers before its birth is durable',
    file: 'src/block/sealed/segments/birth.ts',
    text: '    await files.syncDirectory(log.directory);\n',
    to: '',
    tests: [MODEL],
  },
  {
    name: 'sealed overlay: the cleaner drops zeros',
    file: 'src/block/sealed/cleaning/copied-records.ts',
    text: 'if (body) await copyZeros(decodeZeros(body, log.pages));',
    to: 'if (body) continue;',
    tests: [MODEL],
  },
  {
    name: 'sealed overlay: the cleaner copies pages that are sealed again and not mapped yet',
    file: 'src/block/sealed/cleaning/copied-pages.ts',
    text: 'unmapped.passing(page, n)',
    to: 'undefined as Promise<void> | undefined',
    tests: [COPIES],
  },
  {
    name: 'sealed overlay: the cleaner copies zeros over pages that are sealed and not mapped yet',
    file: 'src/block/sealed/cleaning/copied-records.ts',
    text: 'unmapped.passing(page, some)',
    to: 'undefined as Promise<void> | undefined',
    tests: [COPIES],
  },
  {
    name: 'sealed overlay: the map finds a copy of what a guest replaced in the meantime',
    file: 'src/block/sealed/cleaning/copied-pages.ts',
    text: 'const count = countAt(page + at, n - at, location + at);\n          if',
    to: 'const count = n - at;\n          if',
    tests: [COPIES],
  },
  {
    name: 'sealed overlay: no flush begins by itself, however much is not proven',
    file: 'src/block/sealed/sealed-log.ts',
    text: 'if (head.sealed - head.proven >= flushAt)',
    to: 'if (flushAt < 0)',
    tests: [ROOM],
  },
  {
    name: 'sealed overlay: a long write goes beyond the bound of what is not proven',
    file: 'src/block/sealed/log/log-head.ts',
    text: 'Math.max(0, Math.min(here, unprovenPlaces - (sealed - head.proven)))',
    to: 'sealed - head.proven >= unprovenPlaces ? 0 : here',
    tests: [ROOM],
  },
  {
    name: 'sealed overlay: writes do not wait for a flush',
    file: 'src/block/sealed/log/log-head.ts',
    text: 'Math.max(0, Math.min(here, unprovenPlaces - (sealed - head.proven)))',
    to: 'here',
    tests: [ROOM],
  },
  {
    name: 'sealed overlay: a flush that begins by itself begins late',
    file: 'src/block/sealed/sealed-overlay.ts',
    text: 'unprovenMax: 256 * MiB,',
    to: 'unprovenMax: 260 * MiB,',
    tests: [BOUNDS],
  },
  {
    name: 'sealed overlay: writes wait for a flush late',
    file: 'src/block/sealed/sealed-overlay.ts',
    text: 'waitAt: 320 * MiB,',
    to: 'waitAt: 324 * MiB,',
    tests: [BOUNDS],
  },
  {
    name: 'sealed overlay: what guests write is paid once and used for ever',
    file: 'src/block/sealed/log/log-head.ts',
    text: "      if (payer === 'guest') credit.left -= count;\n",
    to: '',
    tests: [ROOM],
  },
  {
    name: 'sealed overlay: space is taken for each write',
    file: 'src/block/sealed/log/log-head.ts',
    text: 'credit.buy(Math.min(space.step, BUY_MAX))',
    to: 'credit.buy(1)',
    tests: [ROOM],
  },
  {
    name: 'sealed overlay: a dead segment keeps its space',
    file: 'src/block/sealed/upkeep.ts',
    text: '    await log.files.unlink(log.segmentPath(number));\n',
    to: '',
    tests: [ROOM],
  },
  {
    name: 'sealed overlay: what dies without anything that is appended after it keeps its space',
    file: 'src/block/sealed/log/log-flush.ts',
    text: '      dead = deadSegments(parts, position);\n',
    to: '',
    tests: [FAULTS],
  },
  {
    name: 'sealed overlay: a full disk on which nothing is gained is cleaned for ever',
    file: 'src/block/sealed/upkeep.ts',
    text: ' && gains.goOn(placesUsed(segments))',
    to: '',
    tests: [FAULTS],
  },
  {
    name: 'sealed overlay: guests take the segments that the cleaner needs to make room',
    file: 'src/block/sealed/sealed-log.ts',
    text: 'segments.count >= limits.segmentsMax - SPARE_SEGMENTS;',
    to: 'segments.count >= limits.segmentsMax;',
    tests: ['test/block/sealed/many-segments.test.ts'],
  },
  {
    name: 'overlay head: the second copy is not looked at',
    file: 'src/formats/store/sessions/overlay-head.ts',
    text: 'copies.filter(isWhole);',
    to: 'copies.slice(0, 1).filter(isWhole);',
    tests: [RECORDS],
  },
  {
    name: 'overlay head: two copies may differ',
    file: 'src/formats/store/sessions/overlay-head.ts',
    text: 'if (other && Buffer.compare(whole, other) !== 0) {',
    to: 'if (!whole) {',
    tests: ['test/formats/store/sessions/overlay-head.test.ts'],
  },
  {
    name: 'overlay head: a copy that has rotted stays so',
    file: 'src/block/sealed/recover.ts',
    text: 'if (log.isHeadDamaged) {',
    to: 'if (log.isHeadDamaged && isReadOnly) {',
    tests: [RECORDS],
  },
  {
    name: 'sealed overlay: a log that can have no segment more is not opened',
    file: 'src/block/sealed/sealed-overlay.ts',
    text: ' ?? fullOf(parts);',
    to: ';',
    tests: ['test/block/sealed/many-segments.test.ts'],
  },
  {
    name: 'sealed overlay: a segment is dead before the map knows what was written to it',
    file: 'src/block/sealed/log/log-writes.ts',
    text: `      segment.live += count;
      const sealed = () => pagesIn(segments, batch, { first: page, count, location });
      function found(): void {
        map.set(page, count, location);
`,
    to: `      const sealed = () => pagesIn(segments, batch, { first: page, count, location });
      function found(): void {
        map.set(page, count, location);
        segment.live += count;
`,
    tests: [COPIES],
  },
  {
    name: 'sealed overlay: what was flushed is freed with what has replaced it, in one flush',
    file: 'src/block/sealed/log/log-flush.ts',
    text: 'it.isUnsynced && it.number > head.durable.segment',
    to: 'it.isUnsynced',
    tests: [ROOM, FAULTS, MODEL],
  },
  {
    name: 'sealed overlay: a segment is freed with what has replaced it, although it was synced',
    file: 'src/block/sealed/log/log-flush.ts',
    text: 'deadNow.filter((it) => it.isUnsynced && it.number > head.durable.segment)',
    to: 'deadNow',
    tests: [ROOM, FAULTS, MODEL],
  },
  {
    name: 'sealed overlay: what is dead is synced',
    file: 'src/block/sealed/log/log-flush.ts',
    text: '!it.isFreed && (it.isUnsynced || it.isDoubted)',
    to: 'it.isUnsynced || it.isDoubted',
    tests: [ROOM],
  },
  {
    name: 'sealed overlay: a write that is taken at once overtakes those that wait for room',
    file: 'src/block/sealed/log/log-writes.ts',
    text: "    if (waiting > 0 || head.room('guest') < count) return false;\n",
    to: "    if (head.room('guest') < count) return false;\n",
    tests: [ROOM, FAULTS],
  },
  {
    name: 'sealed overlay: what was sealed is looked at once it is used for something else',
    file: 'src/block/sealed/log/batches.ts',
    text: '    for (const ended of batch.waiting) ended(failure);\n    stagings.give(batch.staging);\n',
    to: `    batch.staging.fill(0);
    stagings.give(batch.staging);
    for (const ended of batch.waiting) ended(failure);
`,
    tests: [FAULTS],
  },
  {
    name: 'sealed overlay: a long write holds the thread until its end',
    file: 'src/block/sealed/log/log-writes.ts',
    text: '      if (done < count) await turnOfLoop();\n',
    to: '',
    tests: [ROOM],
  },
  {
    name: 'sealed overlay: a file grows when its last place is used',
    file: 'src/block/sealed/log/log-head.ts',
    text: 'space.end - place < last / 2',
    to: 'false',
    tests: [ROOM],
  },
  {
    name: 'sealed overlay: a segment that was made before the clock jumped is used after it',
    file: 'src/block/sealed/log/log-head.ts',
    text: 'current && isDue() ? supply.ahead : 0',
    to: '0',
    tests: [NONCES],
  },
  {
    name: 'survey: what cannot be read is taken for what a power cut tore',
    file: 'src/block/sealed/segments/log-state.ts',
    text: '((isUnread || isBefore(',
    to: '((isBefore(',
    tests: [UNREADABLE],
  },
  {
    name: 'survey: one sector that cannot be read keeps the log from being opened',
    file: 'src/sys/files/read-around.ts',
    text: "if (cause instanceof SystemError && cause.code === 'IO') return undefined;\n",
    to: '',
    tests: [UNREADABLE],
  },
  {
    name: 'sealed log: pages that cannot be read are taken for zeros without a seal',
    file: 'src/block/sealed/log/log-reads.ts',
    text: 'let failed = openStretch(',
    to: 'let failed = unread.length > 0 ? undefined : openStretch(',
    tests: [UNREADABLE],
  },
];
