import type {
  PlacementGoal,
  WaitReason,
  WritesTo,
} from '../../formats/store/sessions/placement.ts';
import type { PlacedPhase } from '../../formats/store/sessions/session.ts';

/*
 * The life of a session whose machine is on a managed hypervisor, as two tables: what follows when something is asked
 * for or done, and what follows from what the hypervisor says of the machine. Its word alone decides when the overlays
 * may go: `cleaning` and `keeping` are reached from `leaving` and `withdrawing`, whose steps are over only once it said
 * that no disk is ours, from `preparing`, before it was asked for anything, and by `abandon`.
 *
 * Once a disk is on the hypervisor itself there is only forward: what the guest writes since then is there and nowhere
 * else.
 */

export interface PlacedState {
  readonly phase: PlacedPhase;
  readonly goal: PlacementGoal;
  /** Whether a disk was ever seen on its reserved one. */
  readonly isForward: boolean;
  readonly isWaiting: boolean;
  /** Where what the guest writes is kept. */
  readonly writes: WritesTo;
  /** Its disks move while the machine is off. */
  readonly isOffline: boolean;
}

export const PLACED_EVENTS = [
  /** The step of the phase was carried out. */
  'done',
  /** It cannot be: a copy ended too often, or before it was complete; a recovery point could not be published. */
  'undone',
  'discard',
  'keep',
  'move',
  /** The same, while the machine is off. */
  'move-offline',
  'cancel-move',
  /** The machine is started or stopped. */
  'power',
  /** A person gives up what is on the hypervisor. */
  'abandon',
  /** A person has done what was needed. */
  'retry',
] as const;
export type PlacedEvent = (typeof PLACED_EVENTS)[number];

/**
 * What the hypervisor says. `partly`: a disk is on its reserved one, another on ours. `moved`: each is on the
 * hypervisor itself; `settled`: and nothing says (any longer) that the machine is ours. `foreign`: it does not say that
 * it is ours, and yet uses what we serve.
 */
export type Seen = 'gone' | 'ours' | 'partly' | 'moved' | 'settled' | 'foreign';

export type Next =
  /** `ready`: an ordinary session again. `gone`: it is over. */
  | {
      readonly kind: 'next';
      readonly phase: PlacedPhase | 'ready' | 'gone';
      readonly goal: PlacementGoal;
    }
  | { readonly kind: 'refused'; readonly why: string };

export type NextSeen =
  | { readonly kind: 'continue' }
  | { readonly kind: 'next'; readonly phase: PlacedPhase; readonly goal: PlacementGoal }
  | { readonly kind: 'wait'; readonly reason: WaitReason; readonly why: string };

interface To {
  readonly to: PlacedPhase | 'ready' | 'gone' | 'same';
  readonly goal?: PlacementGoal;
}
/** A text refuses the event. */
type Cell = To | string | ((goal: PlacementGoal, isOffline: boolean) => To | string);

const SAME: To = { to: 'same' };
const NEVER = 'nothing of that kind was under way';
const NOTHING = 'nothing of it is on the hypervisor: use "session discard"';
const MOVED =
  'its machine has begun to move to disks of the hypervisor, and the move can only be completed';
const NOT_THERE = 'its machine is not there yet';
const SOON = 'its disks are moving at this moment: repeat the command in a minute';
const WITHDRAWN = 'its machine is being withdrawn';
const ENDING = 'it is being ended';
const WRITES_THERE =
  'what its guest writes is on the hypervisor, and nothing of it is here to be kept. Migrate it ("session migrate"), ' +
  'and back the machine up there; or discard it';
const RUNS_ONLY =
  'what its guest writes is on the hypervisor: its disks can move only while it runs. Start it ("session power")';
const STAYS = 'its machine stays where it is, and is no longer part of the session';

/** What was written is kept also where the machine is given up. */
const abandoned = (goal: PlacementGoal): To =>
  goal === 'keep' ? { to: 'keeping' } : { to: 'cleaning', goal: 'discard' };

const WITHDRAW: Record<'discard' | 'keep', To> = {
  discard: { to: 'withdrawing', goal: 'discard' },
  keep: { to: 'withdrawing', goal: 'keep' },
};
const isEnd = (goal: PlacementGoal): goal is keyof typeof WITHDRAW => Object.hasOwn(WITHDRAW, goal);
const ONLY_FORWARD = { discard: MOVED, keep: MOVED, 'cancel-move': MOVED } as const;

/**
 * The disks of a machine that is off move by one effect, whose answer may have been lost: it is wanted back, and
 * whether it has moved says the next look.
 */
function backOf(goal: PlacementGoal) {
  return (_: PlacementGoal, isOffline: boolean): To | string =>
    isOffline ? { to: 'same', goal } : MOVED;
}

const TABLE = {
  preparing: {
    ...{ done: { to: 'placing' }, undone: NEVER },
    discard: { to: 'cleaning', goal: 'discard' },
    keep: 'its machine has not run yet',
    ...{ move: { to: 'same', goal: 'move' }, 'cancel-move': { to: 'same', goal: 'run' } },
    ...{ 'move-offline': NOT_THERE, power: NOT_THERE, abandon: NOTHING, retry: SAME },
  },
  placing: {
    ...{ done: (goal) => ({ to: goal === 'move' ? 'copying' : 'running' }), undone: NEVER },
    discard: WITHDRAW.discard,
    keep: 'its machine has not run yet',
    ...{ move: { to: 'same', goal: 'move' }, 'cancel-move': { to: 'same', goal: 'run' } },
    ...{ 'move-offline': NOT_THERE, power: NOT_THERE, abandon: abandoned, retry: SAME },
  },
  running: {
    ...{ done: NEVER, undone: NEVER, ...WITHDRAW },
    ...{ move: { to: 'copying', goal: 'move' }, 'cancel-move': { to: 'same', goal: 'run' } },
    'move-offline': { to: 'copying', goal: 'move' },
    ...{ power: SAME, abandon: abandoned, retry: SAME },
  },
  copying: {
    ...{ done: { to: 'pivoting' }, undone: { to: 'running', goal: 'run' }, ...WITHDRAW },
    ...{ move: SAME, 'move-offline': SAME, 'cancel-move': { to: 'running', goal: 'run' } },
    ...{ power: SAME, abandon: abandoned, retry: SAME },
  },
  pivoting: {
    ...{ done: { to: 'settling' }, discard: backOf('discard'), keep: backOf('keep') },
    ...{ 'cancel-move': backOf('run'), move: { to: 'same', goal: 'move' } },
    // What was copied while it was off is thrown away: by then it may be older than what is here.
    undone: (goal, isOffline) => {
      if (!isOffline) return { to: 'copying', goal: 'move' };
      return isEnd(goal) ? WITHDRAW[goal] : { to: 'running', goal: 'run' };
    },
    'move-offline': (_, isOffline) => (isOffline ? { to: 'same', goal: 'move' } : SOON),
    ...{ power: SOON, abandon: abandoned, retry: SAME },
  },
  settling: {
    ...{ done: { to: 'leaving' }, undone: NEVER, ...ONLY_FORWARD },
    ...{ move: SAME, 'move-offline': SAME },
    ...{ power: SAME, abandon: abandoned, retry: SAME },
  },
  leaving: {
    ...{ done: { to: 'cleaning' }, undone: NEVER, discard: STAYS, keep: STAYS, move: SAME },
    'move-offline': SAME,
    ...{ 'cancel-move': STAYS, power: STAYS, abandon: abandoned, retry: SAME },
  },
  withdrawing: {
    done: (goal) => ({ to: goal === 'keep' ? 'keeping' : 'cleaning' }),
    ...{ undone: NEVER, ...WITHDRAW, move: WITHDRAWN, 'cancel-move': WITHDRAWN },
    'move-offline': WITHDRAWN,
    power: `${WITHDRAWN}: to power it off, repeat "session keep" or "session discard" with --stop off`,
    ...{ abandon: abandoned, retry: SAME },
  },
  keeping: {
    ...{ done: { to: 'cleaning' }, undone: { to: 'ready', goal: 'run' } },
    ...{ discard: { to: 'cleaning', goal: 'discard' }, keep: SAME, move: ENDING },
    'move-offline': ENDING,
    ...{ 'cancel-move': ENDING, power: ENDING, abandon: NOTHING, retry: SAME },
  },
  cleaning: {
    ...{ done: { to: 'gone' }, undone: NEVER, discard: SAME },
    keep: (goal) => (goal === 'keep' ? SAME : 'it is being discarded, or has moved'),
    ...{ move: ENDING, 'move-offline': ENDING, 'cancel-move': ENDING },
    ...{ power: ENDING, abandon: NOTHING, retry: SAME },
  },
} as const satisfies Record<PlacedPhase, Record<PlacedEvent, Cell>>;

/** The state after `event`, or why it cannot be. */
export function afterEvent(state: PlacedState, event: PlacedEvent): Next {
  const { phase, goal, isForward, isWaiting, isOffline, writes } = state;
  if (event === 'keep' && writes === 'there') return { kind: 'refused', why: WRITES_THERE };
  if (event === 'move-offline' && writes === 'there') return { kind: 'refused', why: RUNS_ONLY };
  if (isForward && isBack(event) && canGoBack(phase)) {
    return { kind: 'refused', why: MOVED };
  }
  if (event === 'abandon' && !isWaiting) {
    const why = 'it does not wait: use "session discard", which also removes its machine';
    return { kind: 'refused', why };
  }
  const cell: Cell = TABLE[phase][event];
  const found = typeof cell === 'function' ? cell(goal, isOffline) : cell;
  if (typeof found === 'string') return { kind: 'refused', why: found };
  const to = found.to === 'same' ? phase : found.to;
  return { kind: 'next', phase: to, goal: found.goal ?? goal };
}

const isBack = (event: PlacedEvent): event is keyof typeof ONLY_FORWARD =>
  Object.hasOwn(ONLY_FORWARD, event);

const BEFORE_MOVE: readonly PlacedPhase[] = [
  ...(['placing', 'running', 'copying', 'pivoting', 'withdrawing'] as const),
];
const canGoBack = (phase: PlacedPhase): boolean => BEFORE_MOVE.includes(phase);

type SeenCell = 'continue' | To | { readonly reason: WaitReason; readonly why: string };

const GONE = {
  reason: 'machine-gone',
  why:
    'the hypervisor no longer has its machine. What the machine wrote is safe here: keep the session, or discard it. ' +
    'If the machine is put back there, the session continues',
} as const;
/** The same where nothing of what the guest wrote is here. */
const GONE_THERE = {
  reason: 'machine-gone',
  why:
    'the hypervisor no longer has its machine. What the machine wrote is in the pool there, and not here: put the ' +
    'machine back, and the session continues; or discard the session, which removes that too',
} as const;
const STRANGER_THERE = {
  reason: 'person',
  why:
    "a machine with its UUID is there on other disks, and nothing marks it as the session's: what the session's " +
    "machine wrote is in the pool there. If a person has moved the session's machine, abandon the session; if it is " +
    'another one, remove it there, and let the session try again',
} as const;
const FOREIGN = {
  reason: 'person',
  why:
    "its machine uses disks of the session, but no longer has the session's mark: a person changed it. Remove that " +
    'machine or its disks on the hypervisor, then "holdfast session retry"',
} as const;
/** The UUID alone proves nothing: a person, or a restore, may have defined the old machine again. */
const STRANGER = {
  reason: 'person',
  why:
    "a machine with its UUID is there on other disks, and nothing marks it as the session's: what the session's " +
    "machine wrote is safe here. If a person has moved the session's machine, abandon the session; if it is another " +
    'one, remove it there, and let the session try again',
} as const;
const MOVED_BACK = {
  reason: 'person',
  why:
    'its machine uses disks of the session again, although they had moved: move them to the hypervisor again there, ' +
    'then "holdfast session retry"',
} as const;
const LOST = {
  reason: 'person',
  why:
    'the hypervisor no longer has its machine, which had moved there: put it back there, then "holdfast session ' +
    'retry"; or give it up: "holdfast session abandon"',
} as const;
const SETTLE: To = { to: 'settling', goal: 'move' };
const COPY: To = { to: 'copying', goal: 'move' };
const CONTINUE = 'continue' as const;
const ALL = {
  ...{ gone: CONTINUE, ours: CONTINUE, partly: CONTINUE },
  ...{ moved: CONTINUE, settled: CONTINUE, foreign: CONTINUE },
} as const;

const SEEN = {
  preparing: ALL,
  placing: { ...ALL, settled: STRANGER, foreign: FOREIGN },
  running: {
    ...{ gone: GONE, ours: CONTINUE, partly: COPY, moved: SETTLE, settled: STRANGER },
    foreign: FOREIGN,
  },
  copying: {
    ...{ gone: GONE, ours: CONTINUE, partly: CONTINUE, moved: SETTLE, settled: STRANGER },
    foreign: FOREIGN,
  },
  pivoting: {
    ...{ gone: LOST, ours: CONTINUE, partly: CONTINUE, moved: SETTLE, settled: STRANGER },
    foreign: FOREIGN,
  },
  settling: {
    ...{ gone: LOST, ours: { to: 'running', goal: 'run' }, partly: COPY },
    ...{ moved: CONTINUE, settled: CONTINUE, foreign: FOREIGN },
  },
  leaving: { ...ALL, ours: MOVED_BACK, partly: MOVED_BACK, foreign: MOVED_BACK },
  withdrawing: {
    ...{ gone: CONTINUE, ours: CONTINUE, partly: COPY, moved: SETTLE, settled: STRANGER },
    foreign: FOREIGN,
  },
  keeping: ALL,
  cleaning: ALL,
} as const satisfies Record<PlacedPhase, Record<Seen, SeenCell>>;

/** What follows from what the hypervisor says, before the step of the phase is taken. */
export function afterLook({ phase, isForward, writes }: PlacedState, seen: Seen): NextSeen {
  const cell: SeenCell = SEEN[phase][seen];
  if (cell === 'continue') return { kind: 'continue' };
  // What it wrote since it began to move was there only.
  if (cell === GONE && isForward) return { kind: 'wait', ...LOST };
  // It is on disks that were reserved for it, or was: only its mark was lost.
  if (cell === STRANGER && isForward) return { kind: 'next', phase: 'settling', goal: 'move' };
  if (writes === 'there' && cell === GONE) return { kind: 'wait', ...GONE_THERE };
  if (writes === 'there' && cell === STRANGER) return { kind: 'wait', ...STRANGER_THERE };
  if ('reason' in cell) return { kind: 'wait', ...cell };
  if (phase === 'settling' && isForward && seen === 'ours') return { kind: 'wait', ...MOVED_BACK };
  return { kind: 'next', phase: cell.to as PlacedPhase, goal: cell.goal! };
}
