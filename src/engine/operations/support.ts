import { join } from 'node:path/posix';
import { asError } from '../../lib/as-error.ts';
import { KiB, MiB } from '../../lib/sizes.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { privateDirectory } from '../../sys/files/private-directory.ts';
import { run, runOrFail } from '../../sys/process/run.ts';
import { thisHost } from '../../sys/net/this-host.ts';
import { ownRelease } from '../base/release.ts';
import { realWorld, type World } from '../../sys/world.ts';
import { listAlarms } from './alarms.ts';
import { jobLog, jobs, listSchedules } from '../jobs/job-service.ts';
import { list } from '../hypervisors/managed.ts';
import { metrics } from './metrics.ts';
import { withoutSecrets } from '../audit/redaction.ts';
import { sessions } from '../sessions/shown-sessions.ts';
import { sets } from '../points/sets.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { ServiceContext, StoreContext, SupportFacts } from './context.ts';

/*
 * The support bundle for helpers elsewhere, as one tar.gz: facts, settings and logs, never data or secrets. A part
 * that is missing is replaced by the reason, because the bundle is needed when something is broken.
 */

/** Mail servers accept this size; it stays below the limit for slow readers (sys/net/http-server.ts). */
const BUNDLE_MAX = 5 * MiB;
const PART_MAX = 512 * KiB;
const LOG_MAX = 32 * KiB;
const JOURNAL_MAX = MiB;
const JOURNAL_LINES = 5000;
const LOGS_MAX = 40;
const AUDIT_ENTRIES = 500;
const PROGRAM_MS = 10_000;
const ARCHIVE_MS = 60_000;

interface Part {
  readonly file: string;
  readonly max?: number;
  /** Which end is kept if it is too long. */
  readonly keeps?: 'beginning' | 'end';
  readonly text: () => Promise<string>;
}

type Written = ResultOf<'support/create'>['contents'][number];

export async function supportBundle(context: StoreContext): Promise<ResultOf<'support/create'>> {
  const world = realWorld();
  const facts = await context.service?.support().catch(() => undefined);
  const host = thisHost().name.replaceAll(/[^A-Za-z0-9-]/g, '-');
  const time = world.clock.now().toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
  const name = `holdfast-support-${host}-${time}Z`;
  await using temporary = await privateDirectory();
  const directory = join(temporary.path, name);
  await world.files.makeDirectory(directory);
  const contents = await written(
    world,
    directory,
    [...partsOf(context, facts), ...(await logsOf(context))],
    {
      secrets: facts?.secrets ?? [],
    },
  );
  const archive = join(temporary.path, 'bundle');
  const words = ['--owner=0', '--group=0', '--sort=name', '-czf', archive, '-C', temporary.path];
  await runOrFail('tar', [...words, name], { timeoutMs: ARCHIVE_MS });
  const bytes = await world.files.readFile(archive, 2 * BUNDLE_MAX);
  return { name: `${name}.tar.gz`, contents, archive: Buffer.from(bytes).toString('base64') };
}

/** Writes all parts, and a list of them; parts that do not fit are cut, and the list says so. */
async function written(
  { files }: World,
  directory: string,
  parts: readonly Part[],
  { secrets }: { readonly secrets: readonly string[] },
): Promise<Written[]> {
  const list: Written[] = [];
  let left = BUNDLE_MAX;
  async function write(file: string, bytes: Uint8Array): Promise<void> {
    await using made = await files.create(join(directory, file));
    await made.write(bytes, 0);
  }
  for (const { file, text, max = PART_MAX, keeps = 'beginning' } of parts) {
    const whole = Buffer.from(withoutSecrets(await textOf(text), secrets));
    const length = Math.min(max, left, whole.length);
    const bytes =
      keeps === 'end' ? whole.subarray(whole.length - length) : whole.subarray(0, length);
    await write(file, bytes);
    left -= length;
    list.push({ file, bytes: length, cut: length < whole.length });
  }
  await write('contents.json', Buffer.from(jsonOf({ contents: list })));
  return list;
}

async function textOf(text: Part['text']): Promise<string> {
  try {
    return await text();
  } catch (error) {
    return `missing: ${asError(error).message}\n`;
  }
}

function partsOf(
  { engine, hypervisors, service }: StoreContext,
  facts: SupportFacts | undefined,
): readonly Part[] {
  function own(): ServiceContext {
    if (service) return service;
    throw new SystemError('UNREACHABLE', 'no service answers: this process created the bundle');
  }
  const json = (file: string, value: () => Promise<object>): Part => ({
    file,
    text: async () => jsonOf(await value()),
  });
  const program = (file: string, command: string, ...args: string[]): Part => ({
    file,
    text: () => outputOf(command, args),
  });
  return [
    json('versions.json', async () => ({ ...(await versions()), protocol: facts?.protocol })),
    json('settings.json', async () => facts?.settings ?? {}),
    json('service.json', async () => own().show()),
    json('sets.json', async () => ({ sets: await sets(await engine()) })),
    json('sessions.json', async () => ({
      sessions: await sessions(await engine(), service?.whyWaiting),
    })),
    json('jobs.json', async () => jobs(await own().jobs(), ALL)),
    json('alarms.json', async () => listAlarms((await own().monitor()).alarms, { all: true })),
    json('hypervisors.json', async () => list(await hypervisors())),
    json('schedules.json', async () => listSchedules(await own().jobs())),
    { file: 'metrics.txt', text: () => metrics(own()) },
    json('audit-check.json', async () => ({ ...(await (await own().audit()).check()) })),
    {
      file: 'audit.jsonl',
      keeps: 'end',
      text: async () => {
        const entries = await (await own().audit()).last(AUDIT_ENTRIES);
        return entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
      },
    },
    program('system.txt', 'uname', '-a'),
    program('os-release.txt', 'cat', '/etc/os-release'),
    program('load.txt', 'cat', '/proc/uptime', '/proc/loadavg', '/proc/meminfo'),
    program('mounts.txt', 'cat', '/proc/self/mountinfo'),
    program('space.txt', 'df', '--portability', '--block-size=1', '--print-type'),
    program(
      'disks.txt',
      'lsblk',
      '--bytes',
      '--output',
      'NAME,TYPE,SIZE,RO,ROTA,FSTYPE,MODEL,MOUNTPOINT',
    ),
    {
      ...program('journal.txt', 'journalctl', ...JOURNAL),
      max: JOURNAL_MAX,
      keeps: 'end',
    },
  ];
}

const JOURNAL = [
  ...['--no-pager', '--quiet', '--output=short-iso', `--lines=${JOURNAL_LINES}`],
  '--unit=holdfast*',
];

const ALL = { first: 0, count: undefined, active: false };

/** The logs of the newest jobs. */
async function logsOf({ service }: StoreContext): Promise<readonly Part[]> {
  const known = await service?.jobs().catch(() => undefined);
  if (!known) return [];
  const newest = jobs(known, { first: 0, count: LOGS_MAX, active: false }).jobs;
  return newest.map(({ job }) => ({
    file: `job-${job}.log`,
    max: LOG_MAX,
    keeps: 'end',
    text: async () => {
      const { lines } = await jobLog(known, { job, first: 0 });
      return lines.map(({ time, message }) => `${time} ${message}\n`).join('');
    },
  }));
}

async function versions(): Promise<object> {
  const node = process.versions.node;
  return {
    holdfast: await ownRelease(),
    node,
    qemuImg: (await outputOf('qemu-img', ['--version'])).trim(),
  };
}

/** The output of a program, whether it succeeds or fails. */
async function outputOf(command: string, args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run(command, args, { timeoutMs: PROGRAM_MS });
  return `${stdout}${stderr}`;
}

function jsonOf(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
