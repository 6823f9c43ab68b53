import type { ProofCheck } from '../../formats/store/catalog/proof-result.ts';
import { AGENT } from '../../hypervisors/qmp/commands.ts';
import { openAgent } from '../../hypervisors/qmp/agent.ts';
import { asError } from '../../lib/as-error.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { type CheckState, checkStates } from './check-states.ts';
import { guestPorts, type HttpCheck } from './guest-ports.ts';
import type { ProofPlace } from './proof-place.ts';
import type { RunningGuest } from './running-guest.ts';
import type { ScreenWatch } from './screen-watch.ts';
import { type RunScript, scriptChecks } from './script-checks.ts';
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
  /** Names of scripts, which run in this order once all others have passed. */
  readonly scripts: readonly string[];
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

export interface CheckOptions {
  readonly guest: RunningGuest;
  readonly place: Pick<ProofPlace, 'id' | 'sockets' | 'guest'>;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly runScript: RunScript;
}

/** Ports of the guest that the checks need. */
export function portsOf({ ports, http }: ProofChecks): readonly number[] {
  return [...new Set([...ports, ...http.map(({ port }) => port)])];
}

/** From when the guest begins to run. */
export function watchChecks(
  asked: ProofChecks,
  { guest, place, clock, timeoutMs, runScript }: CheckOptions,
): CheckWatch {
  const over = new AbortController();
  const { signal } = over;
  const states = checkStates(clock);
  const { add, pass, fail } = states;
  const tasks: Promise<void>[] = [];
  const net = guestPorts(guest, clock);

  async function repeat(state: CheckState, attempt: () => Promise<string>): Promise<void> {
    while (!signal.aborted && guest.ended === undefined) {
      try {
        return pass(state, await attempt());
      } catch (cause) {
        if (signal.aborted) return;
        fail(state, asError(cause).message);
      }
      await clock.sleep(AGAIN_MS, signal).catch(() => {});
    }
  }
  async function askAgent(): Promise<string> {
    await using agent = await openAgent({ directory: place.sockets, clock }, 'qemu', signal);
    await agent.call(AGENT.ping, undefined, { timeoutMs: AGENT_MS, signal });
    return 'it answers';
  }
  const agent = asked.agent ? add('agent', '', 'guest agent') : states.unshown('agent');
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
  const scripts = scriptChecks(asked.scripts, {
    ...{ states, run: runScript, place, ports: portsOf(asked), net, timeoutMs, signal },
  });
  return {
    get agentAnswers() {
      return agent.hasPassed;
    },
    look({ seen, quietMs }, wasUp) {
      for (const state of texts) {
        const line =
          lineWith(guest.serial.text, state.what) ?? lineWith(seen.text ?? '', state.what);
        if (line === undefined) fail(state, 'not seen');
        else pass(state, `"${line}"`);
      }
      const agentAnswers = agent.hasPassed;
      const isUp = upBecause({ agentAnswers, serial: guest.serial.text, screen: seen, wasUp });
      if (rest) {
        const why = unrest({ seen, quietMs }, isUp !== undefined);
        if (why === undefined)
          pass(rest, `nothing has changed for ${Math.round(quietMs / 1000)} s`);
        else fail(rest, why);
      }
      scripts.look(isUp !== undefined);
      return states.all;
    },
    results: () =>
      states.all.map(({ kind, what, outcome, detail, afterMs }) => ({
        ...{ kind, what, outcome, detail, afterMs },
      })),
    async [Symbol.asyncDispose]() {
      over.abort();
      await Promise.all([...tasks, scripts.ended()]);
    },
  };
}

/** Why a screen is not that of a system at rest; undefined: it is. */
function unrest(
  { seen, quietMs }: Pick<ScreenWatch, 'seen' | 'quietMs'>,
  isUp: boolean,
): string | undefined {
  if (seen.isBlank || quietMs < REST_MS) return 'it is empty, or still changes';
  if (seen.text === undefined || isUp) return undefined;
  // A loader that hangs rests too: text is read, and has to say that the system is up.
  return 'it rests on text that does not show a system that is up';
}
