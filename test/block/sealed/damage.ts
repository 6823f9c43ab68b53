import { deepEqual, ok } from 'node:assert/strict';
import { checkSealedOverlay } from '../../../src/block/sealed/check.ts';
import { BlockError } from '../../../src/block/block-error.ts';
import { decodeHeadFile } from '../../../src/formats/store/sessions/overlay-head.ts';
import { segmentKey } from '../../../src/formats/store/sessions/overlay-key.ts';
import {
  decodePreface,
  PLACE_LENGTH,
  QUAD_LENGTH,
  readTrailer,
  slotCodec,
} from '../../../src/formats/store/sessions/overlay-log.ts';
import { pageSealer } from '../../../src/sys/crypto/page-sealer.ts';
import type { CrashingFs } from '../../support/crashing-fs.ts';
import { type Spot, unreadable } from '../../support/unreadable-fs.ts';
import { below, seeded } from '../../support/random.ts';
import { counts, sessionOf } from './lives.ts';
import type { Loss } from './oracle.ts';
import { DISK, HOME, keyOf, open, PAGE, PLACES, prepared, type Rig, rig, SIZE } from './rig.ts';

/** What became of what was damaged. */
export interface Finds {
  /** It was read as it should be. */
  harmless: number;
  /** The overlay could not be opened, or said when it was. */
  told: number;
  /** Some pages could not be read, and said so. */
  refused: number;
  /** It looks as if the power had gone before it was there, and nothing on the disk says that it was. */
  unproven: number;
}

/** The files of an overlay, by their names. */
export type Contents = Map<string, Uint8Array>;
/** Changes `now` and says what it did; undefined: it did nothing. `earlier`: the files of an earlier time. */
export type Change = (now: Contents, random: () => number, earlier: Contents) => string | undefined;

const SECTOR = 4096;

/** How the process before the damage ended. */
const ENDS = ['closed', 'killed', 'cut'] as const;

/**
 * Uses an overlay, and then damages it `tries` times, each time from the start; 'unreadable': a sector of 4 KiB can no
 * longer be read.
 */
export async function damage(
  seed: number,
  tries: number,
  changes: readonly Change[] | 'unreadable',
  finds: Finds,
): Promise<void> {
  const random = seeded(seed);
  const it = rig(random, seed);
  const session = sessionOf(it, await prepared(it), { count: counts() });
  for (let life = below(random, 3); life > 0; life--) {
    await session.live(below(random, 300));
    await session.recover(random() < 0.5 ? 'unflushed' : 'nothing answered', `SEED=${seed}`);
  }
  const earlier = await contentsOf(session.disk.kill());
  const end = ENDS[below(random, 3)]!;
  await session.live(end === 'closed' ? Number.POSITIVE_INFINITY : 40 + below(random, 150));
  const disk = end === 'cut' ? session.disk.reboot() : session.disk.kill();
  const loss = end === 'cut' ? 'unflushed' : 'nothing answered';
  deepEqual(
    await check(disk.copy(seeded(0)), it),
    [],
    `SEED=${seed} ${end}: a check of what is sound`,
  );
  for (let n = 0; n < tries; n++) {
    const copy = disk.copy(seeded(n));
    const before = await contentsOf(copy);
    if (changes === 'unreadable') {
      const spot = someSpot(before, random);
      const where = `SEED=${seed} ${end}, ${JSON.stringify(spot)} cannot be read`;
      const bad = unreadable(copy, spot);
      const { expected } = session;
      finds[await judge(it, { disk: bad, before, now: before, loss, where, expected })]++;
      continue;
    }
    const now = new Map([...before].map(([name, bytes]) => [name, bytes.slice()]));
    const change = changes[below(random, changes.length)]!;
    const what = change(now, random, earlier);
    if (what === undefined) continue;
    await put(copy, before, now);
    const where = `SEED=${seed} ${end}, ${what}`;
    const judged = { disk: copy, before, now, loss, where, expected: session.expected } as const;
    finds[await judge(it, judged)]++;
  }
}

function someSpot(files: Contents, random: () => number): Spot {
  const [name, { length }] = [...files][below(random, files.size)]!;
  const from = below(random, Math.ceil(length / SECTOR)) * SECTOR;
  return { path: `${HOME}/${name}`, from, to: from + SECTOR };
}

interface Judged {
  readonly disk: CrashingFs;
  readonly before: Contents;
  readonly now: Contents;
  readonly loss: Loss;
  readonly where: string;
  readonly expected: ReturnType<typeof sessionOf>['expected'];
}

async function judge(it: Rig, judged: Judged): Promise<keyof Finds> {
  const { disk, before, now, where, loss, expected } = judged;
  const mine: Rig = { ...it, damage: [] };
  const checked = await check(disk, it);
  const found = await readPages(disk, mine);
  if (found instanceof BlockError) {
    ok(/vda/.test(found.message), `${where}: ${found.message}`);
    ok(['CORRUPT', 'IO'].includes(found.code), `${where}: ${found.code} ${found.message}`);
    ok(checked.length > 0, `${where}: it is not opened: ${found.message}; a check finds nothing`);
    return 'told';
  }
  let refused = 0;
  const wrong: number[] = [];
  for (const [page, bytes] of found.entries()) {
    if (bytes instanceof BlockError) {
      ok(bytes.code === 'CORRUPT', `${where}: ${bytes.code} ${bytes.message}`);
      const [, first, last = first] =
        /\bpages? (\d+)(?: to (\d+))? of disk vda/.exec(bytes.message) ?? [];
      ok(Number(first) <= page && page <= Number(last), bytes.message);
      refused++;
    } else if (!expected.allows(page, bytes, loss)) wrong.push(page);
  }
  const told = mine.damage.length > 0;
  // A slot that fails its seal names its page without one: opening says so, and a check of what pages need may not.
  if (refused > 0) ok(checked.length > 0, `${where}: a check finds nothing`);
  const unproven = unprovenPages(it, before, now);
  const isTold = told || wrong.every((page) => unproven.has(page));
  ok(isTold, `${where}: pages ${wrong.join()} read wrong, and nothing says so`);
  await staysSo(disk, it, { found, where });
  if (wrong.length > 0) return told ? 'told' : 'unproven';
  if (refused > 0) return 'refused';
  return told ? 'told' : 'harmless';
}

async function check({ files }: CrashingFs, { suite, clock }: Rig): Promise<readonly string[]> {
  const place = { files, clock, directory: HOME, disk: DISK, session: 'session-1', begun: true };
  return checkSealedOverlay({ ...place, key: keyOf(suite) }, SIZE);
}

/** A second process finds what the first one did. */
async function staysSo(
  disk: CrashingFs,
  it: Rig,
  { found, where }: { readonly found: readonly Page[]; readonly where: string },
): Promise<void> {
  const again = await readPages(disk.kill(), { ...it, damage: [] });
  if (again instanceof BlockError) throw new Error(`${where}: the next process: ${again.message}`);
  for (const [page, bytes] of found.entries()) {
    const other = again[page]!;
    const isSame =
      bytes instanceof BlockError || other instanceof BlockError
        ? bytes instanceof BlockError && other instanceof BlockError
        : Buffer.from(bytes).equals(other);
    ok(isSame, `${where}: the next process reads page ${page} otherwise`);
  }
}

type Page = Uint8Array | BlockError;

async function readPages(disk: CrashingFs, it: Rig): Promise<Page[] | BlockError> {
  try {
    const overlay = await open(disk.files, it);
    const pages: Page[] = [];
    for (let at = 0; at < SIZE; at += PAGE) {
      const into = new Uint8Array(Math.min(PAGE, SIZE - at));
      pages.push(await overlay.read(into, at).then(() => into, blockErrors));
    }
    return pages;
  } catch (cause) {
    return blockErrors(cause);
  }
}

function blockErrors(cause: unknown): BlockError {
  if (cause instanceof BlockError) return cause;
  throw cause;
}

/** Pages at a changed place of which the disk no longer says that it was durable. */
function unprovenPages(it: Rig, before: Contents, now: Contents): ReadonlySet<number> {
  const durable = durableBy(it, now);
  const pages = new Set<number>();
  for (const [name, old] of before) {
    const number = numberOf(name);
    if (number === undefined || now.has(name.replace('.seg', '.sum'))) continue;
    const bytes = now.get(name) ?? new Uint8Array();
    for (let place = 1; place < PLACES - 1; place++) {
      const at = place * PLACE_LENGTH;
      const end = at + PLACE_LENGTH;
      if (Buffer.from(old.subarray(at, end)).equals(bytes.subarray(at, end))) continue;
      if (number * 2 ** 14 + place < durable) continue;
      for (const page of pagesAt(old, place)) pages.add(page);
    }
  }
  return pages;
}

function pagesAt(bytes: Uint8Array, place: number): readonly number[] {
  const quad = (place - ((place - 1) % 4)) * PLACE_LENGTH;
  const single = readTrailer(bytes, place * PLACE_LENGTH + PAGE);
  const whole = readTrailer(bytes, quad + QUAD_LENGTH);
  const found = single?.n === 1 ? single : whole?.n === 4 ? whole : undefined;
  if (found?.kind === 'zeros') return Array.from({ length: Math.ceil(SIZE / PAGE) }, (_, n) => n);
  if (found?.kind !== 'pages') return [];
  return Array.from({ length: found.n }, (_, n) => found.page + n);
}

/** As segment * 2 ** 14 + place. */
function durableBy(it: Rig, now: Contents): number {
  const { head } = decodeHeadFile(now.get(`${DISK}.head`)!);
  let durable = 0;
  for (const [name, bytes] of now) {
    if (numberOf(name) === undefined) continue;
    for (const at of [0, (PLACES - 1) * PLACE_LENGTH]) {
      try {
        const id = decodePreface(bytes.subarray(at, at + PLACE_LENGTH));
        const session = { session: 'session-1', disk: DISK, ...head };
        const sealer = pageSealer(segmentKey(keyOf(it.suite).overlayKey, session, id), it.suite);
        const codec = slotCodec(sealer);
        for (let place = 1; place < PLACES - 1; place++) {
          for (const length of (place - 1) % 4 === 0 ? [PAGE, QUAD_LENGTH] : [PAGE]) {
            const slot = codec.open(
              bytes.subarray(place * PLACE_LENGTH),
              place,
              new Uint8Array(length),
            );
            if (!slot) continue;
            durable = Math.max(durable, slot.durable.segment * 2 ** 14 + slot.durable.place);
          }
        }
      } catch {
        // Not a preface.
      }
    }
  }
  return durable;
}

function numberOf(name: string): number | undefined {
  const digits = /\.([0-9a-f]{8})\.seg$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

export async function contentsOf({ files }: CrashingFs): Promise<Contents> {
  const found: Contents = new Map();
  for (const name of await files.list(HOME)) {
    if (name !== 'begun') found.set(name, await files.readFile(`${HOME}/${name}`, 2 ** 30));
  }
  return found;
}

export async function put(disk: CrashingFs, before: Contents, now: Contents): Promise<void> {
  for (const name of before.keys()) if (!now.has(name)) await disk.files.unlink(`${HOME}/${name}`);
  for (const [name, bytes] of now) {
    if (!before.has(name)) await disk.files.create(`${HOME}/${name}`);
    const old = before.get(name);
    if (!old || !Buffer.from(old).equals(bytes)) disk.damage(`${HOME}/${name}`, () => bytes);
  }
}
