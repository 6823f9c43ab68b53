import { allDone } from '../../../lib/all-done.ts';
import { turnOfLoop } from '../../../lib/turn-of-loop.ts';
import type { File } from '../../../sys/files/file-system.ts';
import { isInMemory, type LocationNode } from './location-nodes.ts';
import { scratchBodies, type ScratchBodies } from './scratch-bodies.ts';

/** Bodies written, or read, at once: 256 KiB. */
const BATCH = 64;

/**
 * Bodies of nodes in memory up to a limit; beyond it the least recently used ones go to a scratch file, and return on
 * demand. The scratch file is never synced: the log is the truth, and opening the overlay again rebuilds the map.
 */
export interface NodeBodies extends AsyncDisposable {
  /** Call it after each change of a node: its copy in the scratch file is then stale. */
  changed(node: LocationNode): void;
  /** Whether there is room for more bodies, and the scratch file holds none at all. */
  readonly areReady: boolean;
  /** Whether there is room for more bodies, and the scratch file holds none of these nodes. */
  ready(nodes: readonly LocationNode[]): boolean;
  /** Loads some of them, the first ones first, and waits for room: ask again afterwards. */
  load(nodes: readonly LocationNode[]): Promise<void>;
  readonly inMemory: number;
}

export interface NodeBodiesOptions {
  /** The length of a body in words. */
  readonly length: number;
  /** The most bodies in memory; called each time, because nodes take memory too. */
  readonly limit: () => number;
  /** Creates an unnamed file; this module closes it. */
  readonly scratch: () => Promise<File>;
}

export function nodeBodies({ length, limit, scratch }: NodeBodiesOptions): NodeBodies {
  const inMemory = clockOfNodes();
  const places = scratchBodies(length, scratch);
  /** Reused arrays: the garbage collector would let many of them pile up. */
  const spare: Uint32Array[] = [];
  const reads = bodyReads({
    places,
    room: () => spare.pop() ?? new Uint32Array(length),
    came(node) {
      node.isUsed = true;
      inScratch--;
      add(node);
    },
  });
  let inScratch = 0;
  let round: Promise<void> | undefined;
  /** The scratch file accepted nothing: memory may grow until the next try. */
  let fullUpTo: number | undefined;
  let isClosed = false;

  function add(node: LocationNode): void {
    inMemory.add(node);
    if (inMemory.count > (fullUpTo ?? limit())) void startRound();
  }
  /** Runs one round at a time; closing awaits it. */
  function startRound(): Promise<void> {
    round ??= makeRoom().finally(() => (round = undefined));
    return round;
  }
  function toScratch(node: LocationNode): void {
    if (spare.length < BATCH) spare.push(node.body!);
    node.body = undefined;
    inMemory.remove(node);
    inScratch++;
  }
  async function makeRoom(): Promise<void> {
    do await turnOfLoop();
    while (await sendSome());
  }
  /** False: there is room again, or the scratch file has none. */
  async function sendSome(): Promise<boolean> {
    if (isClosed) return false;
    const leaving = takeCold(inMemory, limit() - Math.ceil(limit() / 16), toScratch);
    if (leaving.length === 0) return false;
    try {
      await write(leaving);
      fullUpTo = undefined;
      return true;
    } catch {
      // Bodies in memory stay valid, and the log on the same disk will soon wait for space as well.
      for (const node of leaving) node.isLeaving = false;
      fullUpTo = inMemory.count + BATCH;
      return false;
    }
  }
  async function write(leaving: readonly LocationNode[]): Promise<void> {
    const slots = await places.write(leaving.map(({ body }) => body!));
    leaving.forEach((node, at) => {
      const slot = slots[at]!;
      if (node.isLeaving) {
        node.isLeaving = false;
        node.slot = slot;
        if (!node.isUsed) toScratch(node);
      } else places.free(slot);
    });
  }
  function isTooMuch(): boolean {
    return fullUpTo === undefined && inMemory.count > limit() * 1.25 + 16;
  }

  return {
    changed(node) {
      node.isUsed = true;
      node.isLeaving = false;
      if (node.slot !== undefined) {
        places.free(node.slot);
        node.slot = undefined;
      }
      if (node.body && node.index < 0) add(node);
      else if (!node.body && node.index >= 0) inMemory.remove(node);
    },
    get areReady() {
      return inScratch === 0 && !isTooMuch();
    },
    ready: (nodes) => !isTooMuch() && nodes.every(isInMemory),
    async load(nodes) {
      if (isTooMuch()) await startRound();
      // Few enough that the first are still in memory when the last arrives.
      const most = Math.max(1, Math.min(BATCH, limit() >> 2));
      await allDone(
        nodes
          .filter((node) => !isInMemory(node))
          .slice(0, most)
          .map(reads.read),
      );
    },
    get inMemory() {
      return inMemory.count;
    },
    async [Symbol.asyncDispose]() {
      isClosed = true;
      await round;
      await reads.ended();
      await places[Symbol.asyncDispose]();
    },
  };
}

interface BodyReadsOptions {
  readonly places: ScratchBodies;
  readonly room: () => Uint32Array;
  readonly came: (node: LocationNode) => void;
}

/** Each body is read once for all callers. Until it has arrived its node does not change: changes load it first. */
function bodyReads({ places, room, came }: BodyReadsOptions) {
  const underWay = new Map<LocationNode, Promise<void>>();

  async function readBody(node: LocationNode): Promise<void> {
    try {
      const body = room();
      await places.read(node.slot!, body);
      node.body = body;
      came(node);
    } finally {
      underWay.delete(node);
    }
  }
  return {
    read(node: LocationNode): Promise<void> {
      const known = underWay.get(node);
      if (known) return known;
      const begun = readBody(node);
      underWay.set(node, begun);
      return begun;
    },
    async ended(): Promise<void> {
      await Promise.allSettled(underWay.values());
    },
  };
}

/**
 * Takes the coldest nodes beyond `aim`: `known` is called for those that the scratch file already has; the rest must
 * be written.
 */
function takeCold(clock: NodeClock, aim: number, known: (node: LocationNode) => void) {
  const leaving: LocationNode[] = [];
  while (clock.count - leaving.length > aim && leaving.length < BATCH) {
    const node = clock.coldest();
    if (node.slot !== undefined) known(node);
    else {
      node.isLeaving = true;
      leaving.push(node);
    }
  }
  return leaving;
}

type NodeClock = ReturnType<typeof clockOfNodes>;

/** The nodes with a body in memory, in a clock: a node used since the hand passed gets a second chance. */
function clockOfNodes() {
  const nodes: LocationNode[] = [];
  let hand = 0;
  return {
    get count() {
      return nodes.length;
    },
    add(node: LocationNode): void {
      node.index = nodes.push(node) - 1;
    },
    remove(node: LocationNode): void {
      const last = nodes.pop()!;
      if (last !== node) {
        nodes[node.index] = last;
        last.index = node.index;
      }
      node.index = -1;
    },
    /** The coldest node that is not leaving yet: there must be one. */
    coldest(): LocationNode {
      while (true) {
        if (hand >= nodes.length) hand = 0;
        const node = nodes[hand++]!;
        if (!node.isUsed && !node.isLeaving) return node;
        node.isUsed = false;
      }
    },
  };
}
