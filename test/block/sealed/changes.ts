import { crc32 } from 'node:zlib';
import {
  decodePreface,
  encodePreface,
  PLACE_LENGTH,
  readTrailer,
} from '../../../src/formats/store/sessions/overlay-log.ts';
import {
  decodeHeadFile,
  encodeHeadFile,
} from '../../../src/formats/store/sessions/overlay-head.ts';
import { below } from '../../support/random.ts';
import type { Change, Contents } from './damage.ts';
import { renumbered } from './filled.ts';
import { DISK, PAGE, PLACES } from './rig.ts';

/** The field of a slot, a preface or the head that a byte is chosen from, as first byte and length. */
const FIELDS: readonly (readonly [string, number, number])[] = [
  ['body', 0, 8],
  ['body', 8, PAGE - 8],
  ['tag', PAGE, 16],
  ['page', PAGE + 16, 6],
  ['kind', PAGE + 22, 1],
  ['n', PAGE + 23, 1],
  ['durable segment', PAGE + 24, 4],
  ['durable place', PAGE + 28, 2],
  ['zeros', PAGE + 30, 2],
  ['crc', PAGE + 32, 4],
  ['zeros', PAGE + 36, 4],
];

function some<T>(all: readonly T[], random: () => number): T | undefined {
  return all[below(random, all.length)];
}

function named(now: Contents, ending: RegExp, random: () => number): string | undefined {
  return some(
    [...now.keys()].filter((name) => ending.test(name)),
    random,
  );
}

/** Places in which something is. */
function usedPlaces(bytes: Uint8Array): number[] {
  const used: number[] = [];
  for (let place = 0; (place + 1) * PLACE_LENGTH <= bytes.length; place++) {
    const at = place * PLACE_LENGTH;
    if (bytes.subarray(at, at + PLACE_LENGTH).some((it) => it !== 0)) used.push(place);
  }
  return used;
}

const flipABit: Change = (now, random) => {
  const kind = some([/\.seg$/, /\.seg$/, /\.seg$/, /\.sum$/, /\.head$/], random)!;
  const name = named(now, kind, random);
  const bytes = name === undefined ? undefined : now.get(name)!;
  if (!bytes) return undefined;
  if (kind.source === '\\.head$') {
    const at = below(random, bytes.length);
    bytes[at]! ^= 1 << below(random, 8);
    return `${name}: a bit at ${at}`;
  }
  const place = some(usedPlaces(bytes), random);
  if (place === undefined) return undefined;
  const isPreface = place === 0 || place === PLACES - 1;
  const [field, start, length] = isPreface
    ? (['preface', 0, random() < 0.7 ? 48 : PLACE_LENGTH] as const)
    : some(FIELDS, random)!;
  const at = place * PLACE_LENGTH + start + below(random, length);
  bytes[at]! ^= 1 << below(random, 8);
  return `${name}: a bit of the ${field} at place ${place}, ${at - place * PLACE_LENGTH}`;
};

const loseASector: Change = (now, random) => {
  const name = named(now, /./, random)!;
  const bytes = now.get(name)!;
  const at = below(random, Math.ceil(bytes.length / 512)) * 512;
  const isNoise = random() < 0.5;
  bytes.subarray(at, at + 512).forEach((_, n) => {
    bytes[at + n] = isNoise ? below(random, 256) : 0;
  });
  return `${name}: ${isNoise ? 'noise' : 'zeros'} at ${at}`;
};

const cutAFile: Change = (now, random) => {
  const name = named(now, /./, random)!;
  const bytes = now.get(name)!;
  const length = random() < 0.2 ? 0 : below(random, bytes.length + 1);
  now.set(name, bytes.slice(0, length));
  return `${name}: cut from ${bytes.length} to ${length}`;
};

const removeAFile: Change = (now, random) => {
  const name = named(now, /./, random)!;
  now.delete(name);
  return `${name} is removed`;
};

const swapSlots: Change = (now, random) => {
  const [one, other] = [named(now, /\.seg$/, random), named(now, /\.seg$/, random)];
  if (one === undefined || other === undefined) return undefined;
  const [from, to] = [now.get(one)!, now.get(other)!];
  const place = some(usedPlaces(from), random);
  if (place === undefined) return undefined;
  const target = random() < 0.5 ? place : 1 + below(random, PLACES - 2);
  const moved = from.slice(place * PLACE_LENGTH, (place + 1) * PLACE_LENGTH);
  const at = target * PLACE_LENGTH;
  if (at + PLACE_LENGTH > to.length) return undefined;
  from.set(to.subarray(at, at + PLACE_LENGTH), place * PLACE_LENGTH);
  to.set(moved, at);
  return `${one}: place ${place} swapped with ${target} of ${other}`;
};

const swapFiles: Change = (now, random) => {
  const kind = random() < 0.6 ? /\.seg$/ : /\.sum$/;
  const [one, other] = [named(now, kind, random), named(now, kind, random)];
  if (one === undefined || other === undefined || one === other) return undefined;
  const [a, b] = [now.get(one)!, now.get(other)!];
  now.set(one, b);
  now.set(other, a);
  return `${one} swapped with ${other}`;
};

/** As `swapFiles`, with the numbers in the prefaces, and with the summaries. */
const exchangeNumbers: Change = (now, random) => {
  const [one, other] = [named(now, /\.seg$/, random), named(now, /\.seg$/, random)];
  if (one === undefined || other === undefined || one === other) return undefined;
  const before = new Map(now);
  const isSummaryToo = random() < 0.5;
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    const number = Number(to.split('.')[1]);
    try {
      now.set(to, renumbered(before.get(from)!, number));
    } catch {
      // One that was not born yet.
      return undefined;
    }
    const [summary, target] = [from, to].map((name) => name.replace('.seg', '.sum'));
    now.delete(target!);
    const bytes = before.get(summary!);
    if (bytes && isSummaryToo) now.set(target!, renumbered(bytes, number));
  }
  return `${one} and ${other} exchange their numbers`;
};

/** A copy of an earlier time is put back, or a file that was removed since. */
const putBack: Change = (now, random, earlier) => {
  const name = named(earlier, /\.(seg|sum)$/, random);
  if (name === undefined) return undefined;
  now.set(name, earlier.get(name)!.slice());
  return `${name} of an earlier time`;
};

/** All that is not sealed says that the overlay is of the other suite. */
export const otherSuite: Change = (now, random) => {
  const isHeadToo = random() < 0.5;
  const { head } = decodeHeadFile(now.get(`${DISK}.head`)!);
  const suite = head.suite === 1 ? 2 : 1;
  if (isHeadToo) now.set(`${DISK}.head`, encodeHeadFile({ ...head, suite }));
  for (const bytes of now.values()) {
    for (const at of [0, (PLACES - 1) * PLACE_LENGTH]) {
      try {
        const preface = decodePreface(bytes.subarray(at, at + PLACE_LENGTH));
        bytes.set(encodePreface({ ...preface, suite }), at);
      } catch {
        // Not a preface.
      }
    }
  }
  return `suite ${suite}${isHeadToo ? '' : ' but in the head'}`;
};

/** A slot says that it is another page's, and its checksum fits. */
const forgePage: Change = (now, random) => {
  const name = named(now, /\.seg$/, random);
  const bytes = name === undefined ? new Uint8Array() : now.get(name)!;
  const place = some(usedPlaces(bytes), random);
  if (place === undefined || place === 0 || place === PLACES - 1) return undefined;
  const trailer = bytes.subarray(place * PLACE_LENGTH + PAGE, (place + 1) * PLACE_LENGTH);
  if (readTrailer(trailer, 0)?.kind !== 'pages') return undefined;
  const view = new DataView(trailer.buffer, trailer.byteOffset, trailer.length);
  view.setUint32(16, below(random, 24), true);
  view.setUint32(32, crc32(trailer.subarray(16, 32)), true);
  return `${name}: place ${place} is of another page`;
};

export const CHANGES: readonly Change[] = [
  flipABit,
  flipABit,
  flipABit,
  flipABit,
  loseASector,
  cutAFile,
  removeAFile,
  swapSlots,
  swapFiles,
  exchangeNumbers,
  putBack,
  forgePage,
];
