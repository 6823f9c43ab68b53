import { parseKeys } from '../../src/console/terminal/keys.ts';
import { type Effect, type Event, firstModel, type Model } from '../../src/console/state/model.ts';
import type { Answer, Failure } from '../../src/console/state/service.ts';
import { update } from '../../src/console/app/update.ts';
import { view } from '../../src/console/app/view.ts';
import type { PointSummary } from '../../src/operations/nouns/backup.ts';
import type { ShownHypervisor } from '../../src/operations/nouns/hypervisor.ts';
import type { JobSummary } from '../../src/operations/nouns/job.ts';
import type { SessionExport } from '../../src/operations/nouns/service.ts';
import type { SessionSummary } from '../../src/operations/nouns/session.ts';

type Ask = Extract<Effect, { kind: 'ask' }>;

/** The console without a terminal and without a service: the test is both. */
export interface Driven {
  readonly model: () => Model;
  /** What was asked and has no answer yet. */
  readonly asked: Ask[];
  readonly effects: Effect[];
  send(event: Event): void;
  /** As a terminal sends them; an escape alone is the key. */
  type(text: string): void;
  tick(ms?: number): void;
  /** Answers the oldest question of that name. */
  answer<N extends Answer['name']>(
    name: N,
    result: Extract<Answer, { readonly name: N }>['result'],
  ): void;
  fail(name: Answer['name'], failure: Failure): void;
  /** The rows of the screen. */
  rows(): string[];
  text(): string;
}

export const TIME = '2026-11-21T18:00:00.000Z';

export function drive(
  size = { columns: 80, rows: 24 },
  leaving: Model['leaving'] = { key: 'q', word: 'leave' },
): Driven {
  const host = { name: 'box', addresses: ['192.0.2.7'] };
  let model = firstModel({
    size,
    socket: '/run/x.sock',
    host,
    leaving,
    screen: 'status',
    nowMs: 0,
  });
  const asked: Ask[] = [];
  const effects: Effect[] = [];
  let nowMs = 0;
  function send(event: Event): void {
    const [next, more] = update(model, event);
    model = next;
    effects.push(...more);
    for (const effect of more) if (effect.kind === 'ask') asked.push(effect);
  }
  function taken(name: Answer['name']): Ask {
    const at = asked.findIndex(({ call }) => call.name === name);
    if (at < 0) throw new Error(`${name} was not asked`);
    return asked.splice(at, 1)[0]!;
  }
  const rows = (): string[] =>
    view(model).map((line) =>
      line
        .map(({ text }) => text)
        .join('')
        .trimEnd(),
    );
  return {
    ...{ model: () => model, asked, effects, send, rows },
    text: () => rows().join('\n'),
    type(text) {
      for (const key of parseKeys(text, true).keys) send({ kind: 'key', key });
    },
    tick(ms = 1000) {
      nowMs += ms;
      send({ kind: 'tick', nowMs, time: TIME });
    },
    answer(name, result) {
      const { id, call } = taken(name);
      send({ kind: 'answer', id, answer: { ...call, result } as Answer, time: TIME });
    },
    fail: (name, failure) => send({ kind: 'failed', id: taken(name).id, failure, time: TIME }),
  };
}

export const FACTS = {
  ...{ pid: 7, started: TIME, store: '/srv/store', storeId: 'x' },
  space: { freeBytes: 2 ** 40, totalBytes: 4 * 2 ** 40 },
  host: { name: 'box', addresses: ['192.0.2.7'] },
  sessions: { running: 1, waiting: 0 },
  jobs: { running: 1, waiting: 2 },
  alarms: { critical: 0, warning: 0, acknowledged: 0, untold: 0 },
  lockdown: null,
  notAdopted: [],
};

export const GONE: Failure = { kind: 'gone', message: 'connection refused' };

export function refusal(message: string, needsKeyOf?: string): Failure {
  return { kind: needsKeyOf === undefined ? 'failed' : 'wrong-key', message, needsKeyOf };
}

export function session(more: Partial<SessionSummary> = {}): SessionSummary {
  return {
    ...{ session: 'web-1a2b3c', set: 'nightly', point: pointAt(0).point, machine: 'web' },
    ...{ created: TIME, state: 'running', holder: 'x', takenBytes: 16_384 },
    ...{ listen: 'unix:/x', addresses: [], waits: null, adopted: true },
    ...more,
  };
}

/** The n-th newest of very many. */
export function pointAt(n: number): PointSummary {
  return {
    point: `web-20261121T180000Z-${n.toString(16).padStart(6, '0')}`,
    ...{ set: 'nightly', machine: `web${n}`, created: TIME, origin: 'backup', parent: null },
    disks: [{ name: 'vda', size: 2 ** 30, source: '/x' }],
    ...{ readBytes: 0, storedBytes: 0, run: undefined, consistency: undefined },
    ...{ marks: undefined, proof: undefined },
  };
}

/** Answers whatever page was asked for, of a store with `total` recovery points. */
export function answerPage(driven: Driven, total: number, newer = 0): void {
  const ask = driven.asked.find(({ call }) => call.name === 'backup/page')!;
  const { first, count } = ask.call.request as { first: number; count: number };
  const length = Math.max(0, Math.min(count, total - first));
  const points = Array.from({ length }, (_, at) => pointAt(first + at - newer));
  driven.answer('backup/page', { points, damaged: [], total, first });
}

/** Answers what the status page asks beside sessions and recovery points. */
function answerStatus(driven: Driven): void {
  const MiB = 2 ** 20;
  const rates = (readBytes: number) => ({ readBytes, writtenBytes: 0, ingestBytes: 0 });
  const points = [MiB, 2 * MiB, 8 * MiB].map(rates);
  driven.answer('service/throughput', { now: rates(8 * MiB), points, seconds: 60 });
  driven.answer('store/usage', {
    space: FACTS.space,
    growth: { since: TIME, bytesPerDay: 2 ** 31, fullAt: '2026-12-03T19:00:00.000Z' },
    saving: { points: 3, readBytes: 2 ** 32, storedBytes: 2 ** 30 },
    reclaimable: null,
  });
  driven.answer('alarm/list', { alarms: [] });
  driven.answer('job/list', { jobs: [job()], total: 1, first: 0 });
}

export function job(more: Partial<JobSummary> = {}): JobSummary {
  const request = { set: 'nightly', machine: 'web', disks: [{ name: 'vda', where: '/x' }] };
  return {
    ...{ job: 'backup-1', kind: 'backup', state: 'running', schedule: 'web', created: TIME },
    ...{ started: TIME, ended: null, reason: null, notBefore: null, failures: 1 },
    ...{ needsKeyOf: null, request, result: null, adopted: true },
    progress: { phase: 'backup', position: 256, total: 1024 },
    ...more,
  };
}

/** A console whose service has answered what the status page asks. */
export function driveUp(size?: { columns: number; rows: number }): Driven {
  const driven = drive(size);
  driven.tick();
  driven.answer('service/show', FACTS);
  driven.answer('session/list', { sessions: [session()], damaged: [] });
  answerPage(driven, 3);
  answerStatus(driven);
  return driven;
}

/** What one client is connected to. */
export const EXPORT: SessionExport = {
  ...{ session: 'web-1a2b3c', uri: 'nbd://x/vda', readBytes: 4096, writtenBytes: 1024 },
  clients: [{ address: '10.0.0.5', since: TIME, readBytes: 2048, writtenBytes: 0 }],
};

/** With the screen of sessions. `exports`: what the service says of who is connected; it may not have yet. */
export function onSessions(exports: readonly SessionExport[] | 'unknown' = []): Driven {
  const driven = driveUp();
  driven.type('3');
  if (exports !== 'unknown') driven.answer('export/list', { exports });
  return driven;
}

export function hypervisor(of: Partial<ShownHypervisor> = {}): ShownHypervisor {
  return {
    ...{ hypervisor: 'kvm1', kind: 'libvirt', uri: 'qemu+ssh://holdfast@kvm1/system' },
    ...{ fingerprint: 'SHA256:x', sockets: null, scratch: null, added: TIME },
    ...{ contact: TIME, product: 'QEMU 7.2', host: 'kvm1', failed: null, failure: null },
    ...of,
  };
}
