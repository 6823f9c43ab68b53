import type { ProofCheck, ProofCheckKind } from '../../formats/store/catalog/proof-result.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { AskedCheck } from './verdict.ts';

/** A check, as far as it has come. */
export interface CheckState extends ProofCheck, AskedCheck {}

export interface CheckStates {
  readonly all: readonly CheckState[];
  add(kind: ProofCheckKind, what: string, name?: string): CheckState;
  /** The same, but not shown. */
  unshown(kind: ProofCheckKind): CheckState;
  /** Says what became of one that has not passed yet; `isOver`: it is not tried again. */
  pass(state: CheckState, detail: string): void;
  fail(state: CheckState, detail: string, isOver?: boolean): void;
  /** Milliseconds. */
  elapsed(): number;
}

export function checkStates(clock: Clock): CheckStates {
  const start = clock.monotonicMs();
  const all: CheckState[] = [];
  const elapsed = (): number => Math.round(clock.monotonicMs() - start);
  function become(state: CheckState, change: Partial<CheckState>): void {
    if (!state.hasPassed) Object.assign(state, change, { afterMs: elapsed() });
  }
  function stateOf(kind: ProofCheckKind, what: string, name: string): CheckState {
    const outcome = kind === 'script' ? 'not-tried' : 'failed';
    const detail = 'not tried yet';
    return { ...{ kind, what, name, outcome, detail }, hasPassed: false, afterMs: 0 };
  }
  return {
    ...{ all, elapsed },
    add(kind, what, name = `${kind} ${what}`.trim()) {
      const state = stateOf(kind, what, name);
      all.push(state);
      return state;
    },
    unshown: (kind) => stateOf(kind, '', ''),
    pass: (state, detail) => become(state, { outcome: 'passed', hasPassed: true, detail }),
    fail: (state, detail, isOver = false) => become(state, { outcome: 'failed', detail, isOver }),
  };
}
