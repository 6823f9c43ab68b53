import { JOB_STATES } from '../../formats/store/service/job.ts';
import { stands } from '../../alarms/alarm-state.ts';
import { residentBytes } from '../../sys/process/memory.ts';
import { listSessions } from '../../sessions/state/listed-sessions.ts';
import { machineOf } from '../../catalog/point-places.ts';
import type { Engine } from '../base/engine.ts';
import { newestProofs } from '../points/point-proofs.ts';
import type { ServiceContext } from './context.ts';

/* Metrics for Prometheus (text format 0.0.4). Names are added, never renamed. */
interface Family {
  readonly name: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}
interface Sample {
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export async function metrics(service: ServiceContext): Promise<string> {
  const shown = await service.show();
  const families: Family[] = [
    one('holdfast_started_seconds', 'When the service was started.', seconds(shown.started)),
    one('holdfast_store_present', 'Whether the store is there.', shown.storeId === null ? 0 : 1),
    one('process_resident_memory_bytes', 'Resident memory of the service.', residentBytes()),
  ];
  if (shown.storeId !== null) families.push(...(await ofStore(service, shown.sessions)));
  return families.map(textOf).join('');
}

async function ofStore(
  service: ServiceContext,
  counts: { readonly running: number; readonly waiting: number },
): Promise<Family[]> {
  const engine = await service.engine();
  const { store } = engine;
  const { queue, schedules } = await service.jobs();
  const monitor = await service.monitor();
  const standing = monitor.alarms.list().filter(stands);
  const { sessions, damaged } = await listSessions(store);
  const jobs = queue.list().map(({ job }) => job);
  const byState = JOB_STATES.map((state) => ({
    value: jobs.filter((job) => job.state === state).length,
    labels: { state },
  }));
  const lastDone = schedules.list().flatMap(({ schedule: { name } }) => {
    const done = jobs.find((job) => job.schedule === name && job.state === 'done');
    return done?.ended === undefined
      ? []
      : [{ value: seconds(done.ended), labels: { schedule: name } }];
  });
  const space = await store.files.space(store.directory);
  return [
    one(
      'holdfast_store_free_bytes',
      'Bytes that may still be written to the disk of the store.',
      space.freeBytes,
    ),
    one(
      'holdfast_store_total_bytes',
      'Bytes used and free on the disk of the store.',
      space.totalBytes,
    ),
    {
      name: 'holdfast_sessions',
      help: 'Sessions that the service runs, and those that cannot run yet.',
      samples: [
        { value: counts.running, labels: { state: 'running' } },
        { value: counts.waiting, labels: { state: 'waiting' } },
      ],
    },
    {
      name: 'holdfast_session_taken_bytes',
      help: 'Bytes that a session takes on the disk of the store.',
      samples: sessions.map(({ record, takenBytes }) => ({
        value: takenBytes,
        labels: { session: record.id },
      })),
    },
    {
      name: 'holdfast_alarm',
      help: 'An open alarm: 0 once it is acknowledged.',
      samples: standing.map(({ id, kind, level, acknowledged }) => ({
        value: acknowledged === undefined ? 1 : 0,
        labels: { alarm: id, kind, level },
      })),
    },
    one('holdfast_lockdown', 'Whether the lockdown is on.', monitor.lockdown.state() ? 1 : 0),
    one('holdfast_untold_messages', 'Messages of alarms that are not sent yet.', monitor.untold()),
    one('holdfast_sessions_damaged', 'Sessions whose records cannot be read.', damaged.length),
    { name: 'holdfast_jobs', help: 'Known jobs, by their state.', samples: byState },
    {
      name: 'holdfast_proofs',
      help: 'Machines by the last proof of their newest recovery point that was tried.',
      samples: await proofSamples(engine),
    },
    {
      name: 'holdfast_schedule_last_done_seconds',
      help: "When a schedule's last successful job ended.",
      samples: lastDone,
    },
  ];
}

async function proofSamples({ store, pointNames }: Engine): Promise<readonly Sample[]> {
  const counts = { proven: 0, failed: 0, 'not-tried': 0 };
  const bySet = Map.groupBy(await pointNames.newestFirst(undefined), ({ set }) => set);
  for (const places of bySet.values()) {
    const machines = new Set(places.map(({ id }) => machineOf(id) ?? id));
    const proofs = await newestProofs(store, places, () => true);
    for (const { verdict } of proofs.values()) counts[verdict]++;
    counts['not-tried'] += machines.size - proofs.size;
  }
  return Object.entries(counts).map(([verdict, value]) => ({ value, labels: { verdict } }));
}

function one(name: string, help: string, value: number): Family {
  return { name, help, samples: [{ value }] };
}

function seconds(time: string): number {
  return Date.parse(time) / 1000;
}

function textOf({ name, help, samples }: Family): string {
  const lines = samples.map(({ value, labels = {} }) => {
    const parts = Object.entries(labels).map(([label, it]) => `${label}="${escaped(it)}"`);
    return `${name}${parts.length > 0 ? `{${parts.join(',')}}` : ''} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join('')}`;
}

function escaped(text: string): string {
  return text.replace(/["\\\n]/g, (sign) => (sign === '\n' ? '\\n' : `\\${sign}`));
}
