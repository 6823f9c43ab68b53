import type { ProofCheck, ProofCheckKind } from '../../formats/store/catalog/proof-result.ts';
import { AGENT } from '../../hypervisors/qmp/commands.ts';
import { openAgent } from '../../hypervisors/qmp/agent.ts';
import { asError } from '../../lib/as-error.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { guestPorts, type HttpCheck } from './guest-ports.ts';
import type { RunningGuest } from './running-guest.ts';
import type { ScreenWatch } from './screen-watch.ts';
import { lineWith } from './signs.ts';
import { type AskedCheck, upBecause } from './verdict.ts';

/* Checks of a running guest, each repeated until it passes. */

export interface ProofChecks {
  readonly agent: boolean;
  /** Texts that its serial line, or its screen, has to show. */
  readonly texts: readonly string[];
  /** A picture that no longer changes; text only in a guest that is up. */
  readonly screen: boolean;
  readonly ports: readonly number[];
  readonly http: readonly HttpCheck[];
}

export interface CheckWatch extends AsyncDisposable {
  /** Whether the guest agent has answered; it is asked in any case. */
  readonly agentAnswers: boolean;
  /** What was asked for, as far as it has come. */
  look(screen: ScreenWatch, wasUp?: string): readonly AskedCheck[];
  results(): readonly ProofCheck[];
}

/** Between two tries of a check. */
const AGAIN_MS = 500;
const AGENT_MS = 5000;
/** A picture that does not change for so long is not that of a system that starts. */
const REST_MS = 30_000;

interface State {
  readonly kind: ProofCheckKind;
  readonly what: string;
  readonly name: string;
  hasPassed: boolean;
  detail: string;
  afterMs: number;
}

export interface CheckOptions {
  readonly guest: RunningGuest;
  /** Where the agent's socket is. */
  readonly directory: string;
  readonly clock: Clock;
}

/** Ports of the guest that the checks need. */
export function portsOf({ ports, http }: ProofChecks): readonly number[] {
  return [...new Set([...ports, ...http.map(({ port }) => port)])];
}

/** From when the guest begins to run. */
export function watchChecks(
  asked: ProofChecks,
  { guest, directory, clock }: CheckOptions,
): CheckWatch {
  const start = clock.monotonicMs();
  const over = new AbortController();
  const { signal } = over;
  const states: State[] = [];
  const tasks: Promise<void>[] = [];
  const net = guestPorts(guest, clock);

  function add(kind: ProofCheckKind, what: string, name = `${kind} ${what}`.trim()): State {
    const state = { kind, what, name, hasPassed: false, detail: 'not tried yet', afterMs: 0 };
    states.push(state);
    return state;
  }
  function pass(state: State, detail: string): void {
    if (!state.hasPassed) Object.assign(state, { hasPassed: true, detail, afterMs: elapsed() });
  }
  /** Why it has not passed yet. */
  function note(state: State, detail: string): void {
    if (!state.hasPassed) Object.assign(state, { detail, afterMs: elapsed() });
  }
  const elapsed = (): number => Math.round(clock.monotonicMs() - start);

  async function repeat(state: State, attempt: () => Promise<string>): Promise<void> {
    while (!signal.aborted && guest.ended === undefined) {
      try {
        return pass(state, await attempt());
      } catch (cause) {
        if (signal.aborted) return;
        note(state, asError(cause).message);
      }
      await clock.sleep(AGAIN_MS, signal).catch(() => {});
    }
  }
  async function askAgent(): Promise<string> {
    await using agent = await openAgent({ directory, clock }, 'qemu', signal);
    await agent.call(AGENT.ping, undefined, { timeoutMs: AGENT_MS, signal });
    return 'it answers';
  }
  const agent: State = asked.agent
    ? add('agent', '', 'guest agent')
    : { kind: 'agent', what: '', name: '', hasPassed: false, detail: '', afterMs: 0 };
  tasks.push(repeat(agent, askAgent));
  const texts = asked.texts.map((text) => add('serial', text, `text "${text}"`));
  const rest = asked.screen ? add('screen', '', 'screen at rest') : undefined;
  for (const port of asked.ports) {
    tasks.push(repeat(add('port', String(port)), () => net.open(port, signal)));
  }
  for (const check of asked.http) {
    const { protocol, port, path } = check;
    const what = `${protocol}:${port}${path}`;
    tasks.push(repeat(add('http', what, what), () => net.get(check, signal)));
  }
  return {
    get agentAnswers() {
      return agent.hasPassed;
    },
    look({ seen, quietMs }, wasUp) {
      for (const state of texts) {
        const line =
          lineWith(guest.serial.text, state.what) ?? lineWith(seen.text ?? '', state.what);
        if (line === undefined) note(state, 'not seen');
        else pass(state, `"${line}"`);
      }
      if (!rest) return states;
      const agentAnswers = agent.hasPassed;
      const isUp = upBecause({ agentAnswers, serial: guest.serial.text, screen: seen, wasUp });
      if (seen.isBlank || quietMs < REST_MS) {
        note(rest, 'it is empty, or still changes');
      } else if (seen.text === undefined || isUp !== undefined) {
        pass(rest, `nothing has changed for ${Math.round(quietMs / 1000)} s`);
      } else {
        // A loader that hangs rests too: text is read, and has to say that the system is up.
        note(rest, 'it rests on text that does not show a system that is up');
      }
      return states;
    },
    results: () =>
      states.map(({ kind, what, hasPassed, detail, afterMs }) => ({
        ...{ kind, what, detail, afterMs },
        outcome: hasPassed ? 'passed' : 'failed',
      })),
    async [Symbol.asyncDispose]() {
      over.abort();
      await Promise.all(tasks);
    },
  };
}
