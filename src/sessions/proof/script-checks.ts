import { asError } from '../../lib/as-error.ts';
import { forwardSockets } from '../../sys/net/forwarded-socket.ts';
import type { CheckStates } from './check-states.ts';
import type { GuestPorts } from './guest-ports.ts';
import type { ProofPlace } from './proof-place.ts';

/*
 * Scripts of the administrator's that decide whether a guest works. They run in a sandbox, which is made elsewhere:
 * here they get the guest's ports. A script is not repeated: it runs when all that it may need is there, and its word
 * is the last.
 */

/** Runs one in a sandbox. Rejects if there is none: nothing is known of the guest then. */
export type RunScript = (run: GuestScript) => Promise<ScriptEnd>;

export interface GuestScript {
  readonly script: string;
  /** The boot, as `proofPlace` names it. */
  readonly proof: string;
  /** The directory with sockets of the guest's ports, each with the port as its name. */
  readonly sockets: string;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

export interface ScriptEnd {
  readonly isPassed: boolean;
  /** For people: how it ended, and what it has printed. */
  readonly detail: string;
}

export interface ScriptOptions {
  /** To which those of all other checks have been added. */
  readonly states: CheckStates;
  readonly run: RunScript;
  readonly place: Pick<ProofPlace, 'id' | 'guest'>;
  readonly ports: readonly number[];
  readonly net: GuestPorts;
  /** From the guest's start. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface ScriptChecks {
  /** Begins them if it is time. Throws the reason if no sandbox can be made. */
  look(isUp: boolean): void;
  /** Resolves once none runs. */
  ended(): Promise<void>;
}

/** Between the end of a script that is killed and that of the boot, so that what it has printed is kept. */
const MARGIN_MS = 3000;

/** One runs after another; those after one that fails do not run. */
export function scriptChecks(
  scripts: readonly string[],
  { states, run, place, ports, net, timeoutMs, signal }: ScriptOptions,
): ScriptChecks {
  const others = [...states.all];
  const own = scripts.map((script) => states.add('script', script));
  let running: Promise<void> | undefined;
  let fault: Error | undefined;

  async function runAll(): Promise<void> {
    const at = new Map<string, number>();
    for (const port of ports) at.set(String(port), await net.at(port, signal));
    const { id: proof, guest: sockets } = place;
    await using _forwarded = await forwardSockets(sockets, at);
    for (const state of own) {
      states.fail(state, 'it has not ended yet');
      const leftMs = timeoutMs - states.elapsed() - MARGIN_MS;
      const seconds = Math.max(1, Math.floor(leftMs / 1000));
      const asked = { script: state.what, proof, sockets, seconds, signal };
      const { isPassed, detail } = await run(asked);
      if (!isPassed) return states.fail(state, detail, true);
      states.pass(state, detail);
    }
  }
  return {
    look(isUp) {
      if (fault) throw fault;
      const isTime = others.length > 0 ? others.every(({ hasPassed }) => hasPassed) : isUp;
      if (running || own.length === 0 || !isTime) return;
      running = runAll().catch((cause: unknown) => {
        if (!signal.aborted) fault = asError(cause);
      });
    },
    ended: async () => await running,
  };
}
