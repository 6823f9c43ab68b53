import { allDone } from '../../../lib/all-done.ts';
import { turnOfLoop } from '../../../lib/turn-of-loop.ts';
import type { File } from '../../../sys/files/file-system.ts';
import { isInMemory, type LocationNode } from './location-nodes.ts';
import { scratchBodies, type ScratchBodies } from './scratch-bodies.ts';

/** Bodies that are written, or read, at once: 256 KiB. */
const BATCH = 64;

/**
 * Bodies of nodes in memory up to a limit; beyond it those that were not used for longest go to a scratch file, and
 * come back when they are asked for. The scratch file is never synced: the log is the truth, and who opens the overlay
 * again makes the map again.
 */
export interface NodeBodies extends AsyncDisposable {
  /** To be called after each change of a node: what the scratch file has of it is old. */
  changed(node: LocationNode): void;
  /** Whether there is room for more, and no body at all is in the scratch file. */
  readonly areReady: boolean;
  /** Whether there is room for more, and no body of them is in the scratch file. */
  ready(nodes: readonly LocationNode[]): boolean;
  /** Brings some of them, the first ones first, and waits for room: ask again afterwards. */
  load(nodes: readonly LocationNode[]): Promise<void>;
  readonly inMemory: number;
}

export interface NodeBodiesOptions {
  /** Words of a body. */
  readonly length: number;
  /** Bodies in memory; asked each time, for nodes take memory too. */
  readonly limit: () => number;
  /** Makes a file that has no name; it is closed here. */
  readonly scratch: () => Promise<File>;
}

export function nodeBodies({ length, limit, scratch }: NodeBodiesOptions): NodeBodies {
  const inMemory = clockOfNodes();
  const places = scratchBodies(length, scratch);
  /** Arrays that come and go are no work for the collector, which would let many gather. */
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
  /** The scratch file took nothing: memory may grow until it is tried again. */
  let fullUpTo: number | undefined;
  let isClosed = false;

  function add(node: LocationNode): void {
    inMemory.add(node);
    if (inMemory.count > (fullUpTo ?? limit())) void startRound();
  }
  /** One at a time; it is awaited when this is closed. */
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
  /** False: there is room again, or none in the scratch file. */
  async function sendSome(): Promise<boolean> {
    if (isClosed) return false;
    const leaving = takeCold(inMemory, limit() - Math.ceil(limit() / 16), toScratch);
    if (leaving.length === 0) return false;
    try {
      await write(leaving);
      fullUpTo = undefined;
      return true;
    } catch {
      // What is in memory stays right, and the log on the same disk soon waits for space as well.
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
      // So few that the first are still there when the last has come.
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

/** Each body is read once, for all who ask. Until it has come its node does not change: who changes one asks first. */
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

/** The coldest ones beyond `aim`: `known` gets those that the scratch file has; the others have to be written. */
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

/** The nodes that have a body in memory, in a circle: second chance for what was used since the hand passed. */
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
    /** One that is not leaving yet: such a one must be there. */
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
