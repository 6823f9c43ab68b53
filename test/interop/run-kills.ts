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

/** When one comes, after the one before: at a call to libvirt, counted from 1, or after some time. */
type Moment =
  | { readonly call: number; readonly when: 'before' | 'after' }
  | { readonly ms: number };
interface Kill {
  readonly kind: KillKind;
  readonly moment: Moment;
}
const KINDS: readonly KillKind[] = ['service', 'libvirtd', 'libvirt', 'disks'];
/** The state here of a session of which nothing is on a hypervisor. */
const ORDINARY = 'ordinary';
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

/** Resolves with how often each kill came in each state of a session: `service@copying`. */
export async function runsAreSurvived(options: KillsOptions): Promise<Record<string, number>> {
  const { seed, kills, inPart, onRound } = options;
  const random = seeded(seed);
  await using rig = await killedRuns();
  const counts: Record<string, number> = {};
  let survived = 0;
  for (let at = 0; survived < kills || at < ENDS.length; at++) {
    const round = chosenRound(random, ENDS[at % ENDS.length]!, inPart);
    const came: string[] = [];
    try {
      await rig.round(round, came);
    } catch (cause) {
      const what = `SEED=${seed}, round ${at + 1}: ${JSON.stringify(round)}`;
      throw new Error(`${what}\ncame: ${came.join(', ')}\n${await rig.state()}`, { cause });
    }
    for (const it of came) counts[it] = (counts[it] ?? 0) + 1;
    survived += came.length;
    onRound(`round ${at + 1}, ${round.end}: ${came.join(', ')}`);
  }
  return counts;
}

function chosenRound(random: () => number, end: End, inPart: number): Round {
  const some = (kinds: readonly KillKind[]): Kill[] =>
    Array.from({ length: inPart }, () => chosenKill(random, kinds));
  const replaces = below(random, 2) === 0;
  // Nothing else is done by a worker.
  const ending = some(end === 'keep' ? [...KINDS, 'worker', 'worker'] : KINDS);
  return { end, replaces, placing: some(KINDS), running: some(KINDS), ending };
}

function chosenKill(random: () => number, kinds: readonly KillKind[]): Kill {
  const kind = kinds[below(random, kinds.length)]!;
  const call = 1 + below(random, CALLS_MAX);
  const when = below(random, 2) === 0 ? 'before' : 'after';
  const ms = below(random, TIME_MAX_MS);
  return { kind, moment: below(random, 3) === 0 ? { ms } : { call, when } };
}

interface Listed {
  readonly session: string;
  readonly state: string;
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
  /** Undefined: the service did not answer. */
  async function listed(): Promise<readonly Listed[] | undefined> {
    const { code, result } = await holdfast('session', 'list');
    if (code !== 0) return undefined;
    const all = result['sessions'] as readonly Listed[];
    return Promise.all(
      all.map(async ({ session, state: now }) => {
        const { result: shown } = await holdfast('session', 'show', session);
        const isOrdinary = shown['placed'] === null && ['ready', 'running'].includes(now);
        return { session, state: isOrdinary ? ORDINARY : now };
      }),
    );
  }
  const stateNow = async (): Promise<string> => {
    const all = await listed();
    const it = all?.find(({ state: now }) => now !== ORDINARY) ?? all?.[0];
    return all ? (it?.state ?? 'none') : 'unknown';
  };
  async function state(): Promise<string> {
    const [it] = (await listed()) ?? [];
    const id = it?.session ?? '';
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
    async function strike(seen: string): Promise<void> {
      if (await killers.now(kind)) came.push(`${kind}@${seen}`);
    }
    function atTime(ms: number): void {
      void sleep(ms).then(async () => {
        if (over.aborted) return;
        hasBegun = true;
        await strike(await stateNow()).then(done, failed);
      });
    }
    if (kind === 'worker') {
      void whenAtWork(killers, over).then(() => atTime('ms' in moment ? moment.ms / 10 : 0));
    } else if ('ms' in moment) {
      atTime(moment.ms);
    } else {
      let left = moment.call;
      onCall = async () => {
        if (hasBegun || --left > 0) return undefined;
        hasBegun = true;
        const seen = await stateNow();
        if (kind === 'libvirt') {
          // Only this connection: that of the events still works.
          came.push(`${kind}@${seen}`);
          done();
          return `cut-${moment.when}`;
        }
        const striking = strike(seen).then(done, failed);
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
  const inState = (what: string, wanted: string): Promise<void> =>
    until(what, async () => (await stateNow()) === wanted, state);

  async function place(name: readonly string[]): Promise<void> {
    const begun = async () => !['none', 'unknown', ORDINARY].includes(await stateNow());
    const words = ['run', from.point, '--on', 'kvm1', '--pool', 'fast', '--power-on', ...name];
    await ask(begun, ...words);
    await inState('it runs', 'running');
    // A session whose service died before its machine was planned is an ordinary one, which a person removes.
    for (const it of (await listed()) ?? []) {
      if (it.state === ORDINARY) await holdfast('session', 'discard', it.session);
    }
  }

  async function end(how: End, session: string): Promise<void> {
    const words = how === 'keep' ? [session, '--stop', 'off'] : [session];
    const heard = async () => !['running', 'unknown'].includes(await stateNow());
    await ask(heard, 'session', how, ...words);
    await inState('the session ends', 'none');
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
        const seen = await stateNow();
        if (await killers.now(kind)) came.push(`${kind}@${seen}`);
        await killers.mended();
        await web1.durable(2);
      }
      const [it] = (await listed())!;
      await during(round.ending, end(round.end, it!.session), came);
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
