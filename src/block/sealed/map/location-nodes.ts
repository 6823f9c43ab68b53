import { assert } from '../../../lib/assert.ts';
import type { ScratchSlot } from './scratch-bodies.ts';

/** Not written: the page is that of the base. Place 0 of a segment is its preface and never holds a page. */
export const ABSENT = 0;
/** The page is zeros. Place 1 of a segment is its birth slot and never holds a page. */
export const ZERO = 1;

const PLACE_BITS = 14;
const PLACE_MASK = 2 ** PLACE_BITS - 1;

/** A node that keeps more than one piece spans at most this many pages: its keys are 32 bits. */
export const SPAN_MAX = 2 ** 32;

/**
 * Neighboring pages of a disk. A node is written in one of three ways:
 *   pieces = 1    all pages are one piece, whose first location is `value`; there is no body
 *   pieces > 1    body = keys[pieces], and from its middle on values[pieces]: piece k begins at page
 *                 `start + keys[k]` with the location values[k] and extends to the next
 *   pieces = 0    body = a location for each page; the node spans just as many pages as its body has words
 * All pages of a piece are absent, or all are zeros, or they are consecutive in one segment. Nodes begin and end at
 * multiples of the length of a body.
 */
export interface LocationNode {
  readonly start: number;
  end: number;
  pieces: number;
  value: number;
  body: Uint32Array | undefined;
  /** The zero operations up to this number have been applied here. */
  settled: number;
  /** Its index among the nodes with a body in memory; negative: it has none. */
  index: number;
  isUsed: boolean;
  /** Its body is being written to the scratch file, and has not changed since then. */
  isLeaving: boolean;
  /** Holds a copy of the body; the only one, where the node has pieces but no body in memory. */
  slot: ScratchSlot | undefined;
}

export interface LocationRun {
  readonly first: number;
  readonly count: number;
  /** Location of the first page; ABSENT and ZERO apply to all pages. */
  readonly location: number;
}

const IN_MEMORY = 'a node was loaded before it is looked into';

type Seen = (first: number, count: number, location: number) => void;

/** A node whose pages were never written. */
export function emptyNode(start: number, end: number): LocationNode {
  return {
    start,
    end,
    pieces: 1,
    value: ABSENT,
    body: undefined,
    settled: 0,
    index: -1,
    isUsed: false,
    isLeaving: false,
    slot: undefined,
  };
}

/** False: its body is in the scratch file. */
export function isInMemory({ pieces, body }: LocationNode): boolean {
  return pieces === 1 || body !== undefined;
}

export function segmentOf(location: number): number {
  return location >>> PLACE_BITS;
}

/** Whether `count` pages from `location` on lie in one segment. */
export function isInOneSegment(location: number, count: number): boolean {
  return location > ZERO && (location & PLACE_MASK) + count <= PLACE_MASK + 1;
}

/** The location `count` pages behind one, in the same piece. */
export function advance(location: number, count: number): number {
  return location > ZERO ? location + count : location;
}

/** Whether a page at `location` may belong to the piece that began `distance` pages before it. */
export function continues(begin: number, distance: number, location: number): boolean {
  if (location <= ZERO) return begin === location;
  return begin > ZERO && begin + distance === location && (location & PLACE_MASK) !== 0;
}

export function locationAt(node: LocationNode, page: number): number {
  const { body, pieces, start } = node;
  node.isUsed = true;
  if (pieces === 1) return advance(node.value, page - start);
  assert(body, IN_MEMORY);
  if (pieces === 0) return body[page - start]!;
  const at = pieceAt(node, page - start);
  return advance(body[body.length / 2 + at]!, page - start - body[at]!);
}

/** The pieces of a range that lies in the node, ascending. */
export function visit(node: LocationNode, first: number, end: number, seen: Seen): void {
  const { body, pieces, start } = node;
  node.isUsed = true;
  if (pieces === 1) return seen(first, end - first, advance(node.value, first - start));
  assert(body, IN_MEMORY);
  if (pieces === 0) return visitEach(node, body, first, end, seen);
  const half = body.length / 2;
  let at = pieceAt(node, first - start);
  for (let page = first; page < end; at++) {
    const next = at + 1 < pieces ? Math.min(end, start + body[at + 1]!) : end;
    seen(page, next - page, advance(body[half + at]!, page - start - body[at]!));
    page = next;
  }
}

function visitEach(node: LocationNode, body: Uint32Array, first: number, end: number, seen: Seen) {
  for (let page = first; page < end; ) {
    const location = body[page - node.start]!;
    let next = page + 1;
    while (next < end && continues(location, next - page, body[next - node.start]!)) next++;
    seen(page, next - page, location);
    page = next;
  }
}

/** A piece to put over a range of a node. */
export interface Put {
  readonly first: number;
  readonly end: number;
  readonly location: number;
  /** The length of a body in words. */
  readonly length: number;
  /** Called with the replaced pieces. */
  readonly lost: Seen;
}

/** Puts a piece over a range within the node. False: there is no room, and nothing was changed. */
export function put(node: LocationNode, what: Put): boolean {
  const { first, end, location, length, lost } = what;
  assert(isInMemory(node), IN_MEMORY);
  if (node.pieces > 1 && (first > node.start || end < node.end)) return putPiece(node, what);
  const isWhole = first === node.start && end === node.end;
  const isSame = node.pieces === 1 && advance(node.value, first - node.start) === location;
  if (node.pieces === 1 && !isWhole && !isSame) {
    if (node.end - node.start > SPAN_MAX) return false;
    node.body = new Uint32Array(length);
    node.body[length / 2] = node.value;
    return putPiece(node, what);
  }
  visit(node, first, end, lost);
  if (isWhole) becomePiece(node, location);
  else if (!isSame) putEach(node, first, end, location);
  return true;
}

function putEach(node: LocationNode, first: number, end: number, location: number): void {
  const body = node.body!;
  for (let page = first; page < end; page++) {
    body[page - node.start] = advance(location, page - first);
  }
  // Examining all pages pays where many are alike now, and where a sequential writer reaches the end.
  if (end - first >= body.length / 8 || end === node.end) becomeSparse(node);
}

function putPiece(node: LocationNode, { first, end, location, lost }: Put): boolean {
  const body = node.body!;
  const from = first - node.start;
  const to = end - node.start;
  const half = body.length / 2;
  const { pieces } = node;
  const touched = pieceAt(node, from);
  const last = pieceAt(node, to - 1);
  const lastEnd = last + 1 < pieces ? body[last + 1]! : node.end - node.start;
  // Pieces 0..keep stay before it; the new one may continue the last of them.
  const keep = body[touched]! < from ? touched + 1 : touched;
  const isJoined = keep > 0 && continues(body[half + keep - 1]!, from - body[keep - 1]!, location);
  // After it comes the rest of the last touched piece, or the next piece; either may continue the new one.
  const hasRest = lastEnd > to;
  const rest = hasRest
    ? advance(body[half + last]!, to - body[last]!)
    : (body[half + last + 1] ?? 0);
  const hasNext = hasRest || last + 1 < pieces;
  const begin = isJoined ? body[half + keep - 1]! : location;
  const beginAt = isJoined ? body[keep - 1]! : from;
  const isFollowed = hasNext && continues(begin, to - beginAt, rest);

  const added = (isJoined ? 0 : 1) + (hasRest && !isFollowed ? 1 : 0);
  const tail = last + 1 + (!hasRest && isFollowed ? 1 : 0);
  const count = keep + added + pieces - tail;
  if (count > half) return false;
  visit(node, first, end, lost);
  if (keep + added !== tail) {
    body.copyWithin(keep + added, tail, pieces);
    body.copyWithin(half + keep + added, half + tail, half + pieces);
  }
  let at = keep;
  if (!isJoined) {
    body[at] = from;
    body[half + at++] = location;
  }
  if (hasRest && !isFollowed) {
    body[at] = to;
    body[half + at] = rest;
  }
  node.pieces = count;
  if (count === 1) becomePiece(node, body[half]!);
  return true;
}

/** Cuts the node in two at `at`, a multiple of the length of a body within it, and returns the second. */
export function cut(node: LocationNode, at: number, length: number): LocationNode {
  const second = emptyNode(at, node.end);
  second.settled = node.settled;
  const { body } = node;
  if (node.pieces === 1) second.value = advance(node.value, at - node.start);
  else cutPieces(node, second, new Uint32Array(length));
  node.end = at;
  if (body !== undefined && node.pieces === 1) becomePiece(node, body[length / 2]!);
  return second;
}

function cutPieces(node: LocationNode, second: LocationNode, into: Uint32Array): void {
  const body = node.body!;
  const half = body.length / 2;
  const distance = second.start - node.start;
  let from = pieceAt(node, distance);
  const stay = body[from] === distance ? from : from + 1;
  const first = advance(body[half + from]!, distance - body[from]!);
  second.pieces = node.pieces - from;
  for (let at = 0; from < node.pieces; at++, from++) {
    into[at] = Math.max(0, body[from]! - distance);
    into[half + at] = body[half + from]!;
  }
  into[half] = first;
  second.body = into;
  node.pieces = stay;
  if (second.pieces === 1) becomePiece(second, first);
}

/** Where to cut a full node so that both parts have about the same number of pieces. */
export function middle(node: LocationNode): number {
  const body = node.body!;
  const { start, end } = node;
  const { length } = body;
  const at = Math.round(body[node.pieces >> 1]! / length) * length;
  return Math.min(Math.max(start + at, start + length), end - length);
}

/** Stores the location of each page; the node spans as many pages as its body has words. */
export function becomeDense(node: LocationNode): void {
  const length = node.end - node.start;
  const each = new Uint32Array(length);
  visit(node, node.start, node.end, (first, count, location) => {
    const from = first - node.start;
    for (let at = 0; at < count; at++) each[from + at] = advance(location, at);
  });
  node.body = each;
  node.pieces = 0;
}

/** Changes back to pieces where these need less than a quarter of the room. */
function becomeSparse(node: LocationNode): void {
  let count = 0;
  visit(node, node.start, node.end, () => count++);
  const { length } = node.body!;
  if (count > length / 8) return;
  const pieces = new Uint32Array(length);
  let at = 0;
  visit(node, node.start, node.end, (first, _, location) => {
    pieces[at] = first - node.start;
    pieces[length / 2 + at++] = location;
  });
  node.body = pieces;
  node.pieces = count;
  if (count === 1) becomePiece(node, pieces[length / 2]!);
}

/** Merges the next node into this one where both are small. False: nothing was changed. */
export function join(node: LocationNode, next: LocationNode, length: number): boolean {
  const span = next.start - node.start;
  if (node.pieces === 1 && next.pieces === 1 && continues(node.value, span, next.value)) {
    node.end = next.end;
    return true;
  }
  const isSmall = node.pieces + next.pieces <= length / 4 && next.end - node.start <= SPAN_MAX;
  if (!isSmall || !hasPieces(node) || !hasPieces(next)) return false;
  const half = length / 2;
  const body = new Uint32Array(length);
  let count = 0;
  const add = (first: number, _: number, location: number) => {
    const at = first - node.start;
    if (count > 0 && continues(body[half + count - 1]!, at - body[count - 1]!, location)) return;
    body[count] = at;
    body[half + count++] = location;
  };
  visit(node, node.start, node.end, add);
  visit(next, next.start, next.end, add);
  node.body = body;
  node.pieces = count;
  node.end = next.end;
  becomePiece(next, ABSENT);
  return true;
}

function hasPieces(node: LocationNode): boolean {
  return node.pieces > 0 && isInMemory(node);
}

function becomePiece(node: LocationNode, location: number): void {
  node.pieces = 1;
  node.value = location;
  node.body = undefined;
}

/** The last piece that begins at or before a distance from the start. */
function pieceAt({ body, pieces }: LocationNode, distance: number): number {
  let low = 0;
  let high = pieces;
  while (high - low > 1) {
    const half = (low + high) >>> 1;
    if (body![half]! <= distance) low = half;
    else high = half;
  }
  return low;
}
