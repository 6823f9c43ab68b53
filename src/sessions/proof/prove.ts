import type { OpenSet } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { ProofCheck, ProofResult } from '../../formats/store/catalog/proof-result.ts';
import type { NbdMemory } from '../../servers/nbd/server.ts';
import type { Store } from '../../store/directory/store.ts';
import type { BlockReader } from '../../store/read/block-reader.ts';
import { guestUser } from '../../sys/process/guest-user.ts';
import { machineOf } from '../guest/read-machine.ts';
import type { SessionMachine } from '../guest/session-machine.ts';
import { SessionError } from '../state/session-error.ts';
import { chooseAccelerator } from './accelerator.ts';
import { portsOf, type ProofChecks, watchChecks } from './checks.ts';
import { serveDisposable } from './disposable-disks.ts';
import { firmwareFor, screenFont } from './firmware.ts';
import { memoryFor, processorsFor, proofMachine } from './proof-machine.ts';
import { proofPlace, sweepProofs } from './proof-place.ts';
import { startGuest } from './running-guest.ts';
import type { RunScript } from './script-checks.ts';
import { watchScreen } from './screen-watch.ts';
import { startTpm } from './tpm.ts';
import { upBecause, type Verdict, verdictOf } from './verdict.ts';

/*
 * Boots a recovery point in isolation, on this box's own QEMU, and finds out whether it works. Nothing of the boot
 * stays but the result: the guest's writes are thrown away, and no network but a private one is there.
 */

export interface ProveOptions {
  readonly set: OpenSet;
  readonly point: PointRecord;
  /** Lent. */
  readonly reader: BlockReader;
  readonly memory: NbdMemory;
  readonly asked: AskedProof;
  readonly signal: AbortSignal;
  readonly runScript: RunScript;
  /** How far it has come, in words. */
  readonly onStep: (message: string) => void;
  /** Called after each read of the guest, with its duration in milliseconds. */
  readonly onRead?: (ms: number) => void;
}

export interface AskedProof {
  readonly timeoutMs: number;
  /** Undefined: as the machine has, within bounds. */
  readonly memoryBytes: number | undefined;
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  /** Undefined: as described; BIOS if it is not. */
  readonly firmware: 'bios' | 'uefi' | undefined;
  readonly checks: ProofChecks;
}

/** How often it is looked whether something has changed. */
const LOOK_MS = 250;

/** Rejects UNSUPPORTED if this box cannot boot it: nothing is known of the point then; with the signal's reason. */
export async function prove(store: Store, options: ProveOptions): Promise<ProofResult> {
  try {
    return await boot(store, options);
  } catch (cause) {
    // Whatever was under way was interrupted, each part in its own words.
    options.signal.throwIfAborted();
    throw cause;
  }
}

async function boot(store: Store, options: ProveOptions): Promise<ProofResult> {
  const { set, point, asked, signal, onStep } = options;
  const { clock } = store;
  const started = clock.now().toISOString();
  const begun = clock.monotonicMs();
  if (point.disks.length === 0) {
    throw new SessionError('UNSUPPORTED', `${point.id} has no disks: there is nothing to boot`);
  }
  await sweepProofs(store);
  const without: string[] = [];
  const machine = point.files && (await machineOf(store, { set, point }, (it) => without.push(it)));
  refuseForeign(machine);
  await using stack = new AsyncDisposableStack();
  const user = guestUser();
  const place = stack.use(await proofPlace(store, user));
  const { accelerator, why } = await chooseAccelerator(store, asked.accelerator, {
    ...{ directory: place.sockets, user, signal },
  });
  if (why !== undefined)
    without.push(`the processor's virtualization: ${why}; the processor is emulated`);
  const firmware = await firmwareFor(store, {
    ...{ machine, directory: place.sockets, user },
    kind: asked.firmware ?? describedFirmware(machine),
    onWithout: (it) => without.push(it),
  });
  const tpm = await startTpm(store, {
    ...{ machine, directory: place.sockets, user, signal },
    onWithout: (it) => without.push(it),
  });
  if (tpm) stack.use(tpm);
  let lost: string | undefined;
  const disksAt = `${place.sockets}/disks`;
  const disks = stack.use(
    await serveDisposable(store, {
      ...{ ...options, directory: place.overlays, socket: disksAt, user: user?.id },
      onLost: (what) => (lost ??= what),
    }),
  );
  const built = proofMachine({
    ...{ machine: machine?.machine, disks: point.disks, accelerator, firmware, disksAt },
    memoryBytes: asked.memoryBytes ?? memoryFor(machine?.machine),
    processors: processorsFor(machine?.machine),
    directory: place.sockets,
    tpmAt: tpm?.socket,
    forwards: portsOf(asked.checks),
  });
  without.push(...built.without);
  const guest = stack.use(
    await startGuest(store, { args: built.args, directory: place.sockets, user, signal }),
  );
  const screen = watchScreen(guest, clock, await screenFont(store));
  const preparedMs = clock.monotonicMs() - begun;
  onStep(`QEMU runs the machine (${accelerator === 'kvm' ? 'KVM' : 'emulation'})`);
  const start = clock.monotonicMs();
  const { timeoutMs } = asked;
  const checks = stack.use(
    watchChecks(asked.checks, { guest, place, clock, timeoutMs, runScript: options.runScript }),
  );
  await guest.run(signal);
  let [wasUp, bootMs]: [string?, number?] = [];
  for (;;) {
    await screen.look(signal);
    const elapsedMs = clock.monotonicMs() - start;
    const { agentAnswers } = checks;
    const serial = guest.serial.text;
    const up = upBecause({ agentAnswers, serial, screen: screen.seen, wasUp });
    if (up !== undefined && wasUp === undefined) {
      [wasUp, bootMs] = [up, elapsedMs];
      // Without what it shows: the caller may not have given the passkey.
      onStep('the machine is up');
    }
    const verdict = verdictOf({
      ...{ elapsedMs, timeoutMs, lost, wasUp, ...guest.events },
      ...{ serial, agentAnswers, screen: screen.seen, quietMs: screen.quietMs },
      ended: guest.ended,
      asked: checks.look(screen, wasUp),
    });
    if (verdict) {
      // The last picture is what the verdict is about.
      await screen.look(signal);
      await checks[Symbol.asyncDispose]();
      return {
        verdict: verdict.state === 'works' ? 'proven' : 'failed',
        ...{ ...verdict, started, accelerator, without },
        checks: [bootCheck({ verdict, up, bootMs, elapsedMs }), ...checks.results()],
        timings: {
          preparedMs: Math.round(preparedMs),
          ...(bootMs !== undefined && { bootMs: Math.round(bootMs) }),
          totalMs: Math.round(clock.monotonicMs() - begun),
        },
        ...disks.traffic,
        ...(screen.picture && { screen: screen.picture }),
        ...(screen.seen.text !== undefined && { screenText: screen.seen.text }),
        serial: guest.serial.text,
      };
    }
    await clock.sleep(LOOK_MS, signal);
  }
}

interface Booted {
  readonly verdict: Verdict;
  readonly up: string | undefined;
  readonly bootMs: number | undefined;
  readonly elapsedMs: number;
}

/** A check that was asked for passes only in a machine that is up, whether or not anything else said so. */
function bootCheck({ verdict, up, bootMs, elapsedMs }: Booted): ProofCheck {
  const isUp = bootMs !== undefined || verdict.state === 'works';
  const detail = up ?? (isUp ? 'all checks passed' : 'nothing says that it is up');
  const afterMs = Math.round(bootMs ?? elapsedMs);
  return { kind: 'boot', what: '', outcome: isUp ? 'passed' : 'failed', afterMs, detail };
}

function describedFirmware(machine: SessionMachine | undefined): 'bios' | 'uefi' {
  const firmware = machine?.machine?.firmware;
  if (firmware?.kind !== 'other') return firmware?.kind ?? 'bios';
  const what = `the machine has firmware of a kind that this release does not know (${firmware.name})`;
  throw new SessionError('UNSUPPORTED', `${what}: choose one with --firmware`);
}

function refuseForeign(machine: SessionMachine | undefined): void {
  const arch = machine?.machine?.arch;
  if (arch === undefined || arch === 'x86_64' || arch === 'i686') return;
  const what = `the machine has processors of another kind (${arch}), which this box cannot run`;
  throw new SessionError('UNSUPPORTED', `${what}: run it on a hypervisor that has them`);
}
