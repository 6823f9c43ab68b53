import { deepEqual, equal, ok } from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { expectSound } from '../support/checked-guest.ts';
import { expectDone } from '../support/cli.ts';
import { libvirtHost } from '../support/libvirt.ts';
import { libvirtWire } from '../support/libvirt-wire.ts';
import { below, seeded } from '../support/random.ts';
import { type KillKind, type RunKillers, runKillers } from '../support/run-killers.ts';
import { phaseIn, type SeenPhase } from '../support/session-phase.ts';
import { tracesOf } from '../support/run-traces.ts';
import { serviceHome } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

/*
 * A machine of a real libvirt runs from a recovery point, is kept, moves to the hypervisor or is discarded, and at any
 * moment of that the service, its worker or libvirtd is killed, or a connection of theirs is cut. No person acts, and
 * what the guest knows to be durable is there afterwards; of what was discarded nothing is left, there or here.
 */

const MIB = 2 ** 20;
const ENDS = ['keep', 'migrate', 'discard'] as const;
type End = (typeof ENDS)[number];

/**
 * When one comes, after the one before: at a call to libvirt, counted from 1, after some time, or as soon as the
 * journal has this phase.
 */
type Moment =
  | { readonly call: number; readonly when: 'before' | 'after' }
  | { readonly ms: number }
  | { readonly phase: SeenPhase };
interface Kill {
  readonly kind: KillKind;
  readonly moment: Moment;
}
const KINDS: readonly KillKind[] = ['service', 'libvirtd', 'libvirt', 'disks'];
/** Phases of the three parts, in their order: each is aimed at in turn. */
export const PHASES: Readonly<Record<'placing' | End, readonly SeenPhase[]>> = {
  placing: ['unplaced', 'placing'],
  keep: ['withdrawing', 'keeping', 'cleaning'],
  migrate: ['copying', 'pivoting', 'settling', 'leaving', 'cleaning'],
  discard: ['withdrawing', 'cleaning'],
};
/** In these, nothing but the service does anything. */
const OWN: ReadonlySet<SeenPhase> = new Set(['unplaced', 'keeping', 'cleaning']);
const CALLS_MAX = 60;
const TIME_MAX_MS = 2500;

/** What a person does, and what happens in the meantime. */
interface Round {
  readonly end: End;
  readonly replaces: boolean;
  readonly placing: readonly Kill[];
  readonly running: readonly Kill[];
  readonly ending: readonly Kill[];
}

export interface KillsOptions {
  readonly seed: number;
  /** At least so many, and one round of each end. */
  readonly kills: number;
  /** At most so many in each of the three parts of a round. */
  readonly inPart: number;
  readonly onRound: (message: string) => void;
}

/** Resolves with how often each kill came in each phase of a session: `service@copying`, and `copying`. */
export async function runsAreSurvived(options: KillsOptions): Promise<Record<string, number>> {
  const { seed, kills, inPart, onRound } = options;
  const random = seeded(seed);
  await using rig = await killedRuns();
  const counts: Record<string, number> = {};
  const aim = aims(random);
  let survived = 0;
  for (let at = 0; survived < kills || at < ENDS.length; at++) {
    const round = chosenRound(random, ENDS[at % ENDS.length]!, { inPart, aim });
    const came: string[] = [];
    try {
      await rig.round(round, came);
    } catch (cause) {
      const what = `SEED=${seed}, round ${at + 1}: ${JSON.stringify(round)}`;
      throw new Error(`${what}\ncame: ${came.join(', ')}\n${await rig.state()}`, { cause });
    }
    for (const it of came.flatMap((one) => [one, one.replace(/^.*@/, '')])) {
      counts[it] = (counts[it] ?? 0) + 1;
    }
    survived += came.length;
    onRound(`round ${at + 1}, ${round.end}: ${came.join(', ')}`);
  }
  return counts;
}

interface Aim {
  readonly phase: SeenPhase;
  readonly at: number;
}

/** The phase of a part that was not aimed at for the longest time, beginning with any. */
function aims(random: () => number): (part: keyof typeof PHASES) => Aim {
  const next = new Map<string, number>();
  return (part) => {
    const phases = PHASES[part];
    const at = (next.get(part) ?? below(random, phases.length)) % phases.length;
    next.set(part, at + 1);
    return { phase: phases[at]!, at };
  };
}

function chosenRound(
  random: () => number,
  end: End,
  { inPart, aim }: { readonly inPart: number; readonly aim: ReturnType<typeof aims> },
): Round {
  const some = (kinds: readonly KillKind[], count: number): Kill[] =>
    Array.from({ length: count }, () => chosenKill(random, kinds));
  /** One that is aimed, and in a part of three another, which comes in a later phase. */
  function part(of: keyof typeof PHASES, kinds: readonly KillKind[]): Kill[] {
    const aimed = Array.from({ length: Math.ceil(inPart / 2) }, () => aim(of));
    const inOrder = aimed
      .sort((one, other) => one.at - other.at)
      .map(({ phase }) => ({
        kind: OWN.has(phase) ? 'service' : KINDS[below(random, KINDS.length)]!,
        moment: { phase },
      }));
    return [...inOrder, ...some(kinds, inPart - aimed.length)];
  }
  const replaces = below(random, 2) === 0;
  // Nothing else is done by a worker.
  const ending = part(end, end === 'keep' ? [...KINDS, 'worker', 'worker'] : KINDS);
  return { end, replaces, placing: part('placing', KINDS), running: some(KINDS, inPart), ending };
}

function chosenKill(random: () => number, kinds: readonly KillKind[]): Kill {
  const kind = kinds[below(random, kinds.length)]!;
  const call = 1 + below(random, CALLS_MAX);
  const when = below(random, 2) === 0 ? 'before' : 'after';
  const ms = below(random, TIME_MAX_MS);
  return { kind, moment: below(random, 3) === 0 ? { ms } : { call, when } };
}

async function killedRuns() {
  await using stack = new AsyncDisposableStack();
  const host = stack.use(await libvirtHost());
  const root = temporaryDirectory();
  process.env['XDG_CONFIG_HOME'] = join(root, 'config');
  // QEMU is another user, in a place of its own where this directory is the same.
  const exports = join(host.directory, 'exports');
  const pool = join(host.directory, 'fast');
  for (const it of [exports, pool]) mkdirSync(it, { mode: 0o755 });
  const home = serviceHome(root);
  const { holdfast } = home;
  const wire = stack.use(libvirtWire(host));
  type Mishap = 'cut-before' | 'cut-after' | undefined;
  let onCall: () => Promise<Mishap> = async () => undefined;
  const socket = await wire.socket(() => onCall());
  const start = () => home.run({ environment: { RUNTIME_DIRECTORY: exports } });
  const killers = stack.use(await runKillers({ host, wire, exports, start }));
  await expectDone(holdfast('store', 'create'));
  const secret = ['--passphrase-file', home.passphrase];
  await expectDone(holdfast('set', 'create', 'nightly', '--encrypt', ...secret));
  const uri = `qemu+unix:///system?socket=${socket}`;
  await expectDone(holdfast('hypervisor', 'add', 'kvm1', uri, '--sockets', host.sockets));
  await host.virsh('pool-create-as', 'fast', 'dir', '--target', pool);
  const disks = await Promise.all(
    ['vda', 'vdb'].map(async (target) => ({
      target,
      path: await host.disk(`${target}.qcow2`, { size: 64 * MIB }),
    })),
  );
  const web1 = await host.define({ name: 'web1', disks });
  await expectDone(holdfast('backup', 'create', 'nightly', '--from', 'kvm1/web1'));
  /** What the next round runs, and the guest's last record that has to be in it. */
  let from = { point: (await points())[0]!, durable: 0 };
  const traces = (): Promise<object> => tracesOf({ host, home, pool, exports });

  async function points(): Promise<readonly string[]> {
    const { result } = await expectDone(holdfast('backup', 'list'));
    return (result['points'] as { point: string }[]).map(({ point }) => point);
  }
  /** IDs; undefined: the service did not answer. */
  async function listed(): Promise<readonly string[] | undefined> {
    const { code, result } = await holdfast('session', 'list');
    const all = result['sessions'] as readonly { readonly session: string }[];
    return code === 0 ? all.map(({ session }) => session) : undefined;
  }
  const phaseNow = (): SeenPhase => phaseIn(home.store);
  async function state(): Promise<string> {
    const [it] = (await listed()) ?? [];
    const id = it ?? '';
    const shown = [holdfast('session', 'show', id), holdfast('session', 'log', id)];
    const said = it ? await Promise.all(shown) : [];
    const machines = await host.virsh('list', '--all').catch(String);
    return [...said.map(({ stdout }) => stdout), machines, killers.log()].join('\n');
  }

  /** `kills`, one after the other, while `work` is under way. */
  async function during(kills: readonly Kill[], work: Promise<void>, came: string[]) {
    const over = new AbortController();
    const ending = work.finally(() => over.abort());
    // It is awaited at the end.
    ending.catch(() => {});
    for (const kill of kills) {
      await struck(kill, over.signal, came);
      await killers.mended();
    }
    await ending;
  }

  /** Resolves once it has come, or `over` says that it will not. */
  async function struck({ kind, moment }: Kill, over: AbortSignal, came: string[]): Promise<void> {
    const { promise: end, resolve: done, reject: failed } = Promise.withResolvers<void>();
    let hasBegun = false;
    async function strike(): Promise<void> {
      const seen = phaseNow();
      if (!(await killers.now(kind))) return;
      // By the time that it is dead, it may have come further.
      came.push(`${kind}@${kind === 'service' ? phaseNow() : seen}`);
    }
    function begin(): Promise<void> {
      hasBegun = true;
      return strike().then(done, failed);
    }
    function atTime(ms: number): void {
      void sleep(ms).then(async () => {
        if (!over.aborted) await begin();
      });
    }
    async function atPhase(phase: SeenPhase): Promise<void> {
      while (!hasBegun && !over.aborted) {
        if (phaseNow() === phase) return begin();
        await sleep(1);
      }
    }
    function cut(when: 'before' | 'after'): 'cut-before' | 'cut-after' {
      // Only this connection: that of the events still works.
      came.push(`${kind}@${phaseNow()}`);
      done();
      return `cut-${when}`;
    }
    if (kind === 'worker') {
      void whenAtWork(killers, over).then(() => atTime('ms' in moment ? moment.ms / 10 : 0));
    } else if ('ms' in moment) {
      atTime(moment.ms);
    } else if ('phase' in moment) {
      void atPhase(moment.phase);
      // Most steps are calls: there it comes in the middle of one.
      onCall = async () => {
        if (hasBegun || phaseNow() !== moment.phase) return undefined;
        hasBegun = true;
        if (kind === 'libvirt') return cut('after');
        void begin();
        return undefined;
      };
    } else {
      let left = moment.call;
      onCall = async () => {
        if (hasBegun || --left > 0) return undefined;
        hasBegun = true;
        if (kind === 'libvirt') return cut(moment.when);
        const striking = begin();
        if (moment.when === 'before') await striking;
        return undefined;
      };
    }
    const isOver = () => hasBegun || done();
    over.addEventListener('abort', isOver, { once: true });
    if (over.aborted) isOver();
    try {
      await end;
    } finally {
      over.removeEventListener('abort', isOver);
      onCall = async () => undefined;
    }
  }

  /** A command whose answer may be lost: repeated until it is answered, or `hasHappened` says that it was heard. */
  async function ask(hasHappened: () => Promise<boolean>, ...words: readonly string[]) {
    let said = '';
    await until(
      words.join(' '),
      async () => {
        if (await hasHappened()) return true;
        const { code, stdout, stderr } = await holdfast(...words);
        said = stdout + stderr;
        return code === 0;
      },
      async () => said + (await state()),
    );
  }
  const inPhase = (what: string, wanted: SeenPhase): Promise<void> =>
    until(what, () => phaseNow() === wanted, state);

  async function place(name: readonly string[]): Promise<void> {
    const begun = async () => !['none', 'unplaced'].includes(phaseNow());
    const words = ['run', from.point, '--on', 'kvm1', '--pool', 'fast', '--power-on', ...name];
    await ask(begun, ...words);
    await inPhase('it runs', 'running');
  }

  async function end(how: End, session: string): Promise<void> {
    const words = how === 'keep' ? [session, '--stop', 'off'] : [session];
    const heard = async () => phaseNow() !== 'running';
    await ask(heard, 'session', how, ...words);
    await inPhase('the session ends', 'none');
  }

  /** What a person does with a machine that is not needed any longer, and with the one that it replaced. */
  async function removeMoved(name: string): Promise<void> {
    await host.virsh('undefine', name, '--storage', 'vda,vdb');
    const left = (await host.virsh('list', '--all', '--name')).split('\n').filter(Boolean);
    equal(left.length, 1, left.join());
    if (left[0] !== 'web1') await host.virsh('domrename', left[0]!, 'web1');
  }

  const owned = stack.move();
  return {
    state,
    /** `came` gets what came, as it comes. */
    async round(round: Round, came: string[]): Promise<void> {
      const before = await traces();
      const known = new Set(await points());
      const name = round.replaces ? 'web1' : 'web2';
      const words = round.replaces ? ['--replace', 'keep'] : ['--name', name];
      await during(round.placing, place(words), came);
      expectSound(await web1.checked(2), from.durable);
      for (const { kind, moment } of round.running) {
        await sleep('ms' in moment ? moment.ms : 0);
        const seen = phaseNow();
        if (await killers.now(kind)) came.push(`${kind}@${seen}`);
        await killers.mended();
        await web1.durable(2);
      }
      const [session] = (await listed())!;
      await during(round.ending, end(round.end, session!), came);
      if (round.end !== 'migrate') deepEqual(await traces(), before);
      // What it did not write cannot be missed: it was never started again.
      const said = web1.reports().filter((line) => /^(GUEST UP|ERROR)/.test(line));
      ok(said.length === 1, said.join());
      if (round.end === 'keep') {
        const [made, ...more] = (await points()).filter((point) => !known.has(point));
        deepEqual(more, []);
        ok(made, 'no recovery point was made');
        // The next round checks it.
        from = { point: made, durable: await web1.durable(0) };
      }
      if (round.end === 'migrate') {
        const durable = await web1.durable(2);
        const xml = await host.virsh('dumpxml', name);
        ok(!/nbd|holdfast-run/.test(xml), xml);
        await host.virsh('destroy', name);
        await host.virsh('start', name);
        expectSound(await web1.checked(2), durable);
        await host.virsh('destroy', name);
        await removeMoved(name);
        deepEqual(await traces(), before);
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function whenAtWork(killers: RunKillers, over: AbortSignal): Promise<void> {
  while (!killers.isAtWork() && !over.aborted) await sleep(5);
}
