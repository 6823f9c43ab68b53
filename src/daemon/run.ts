import { resolve } from 'node:path/posix';
import { parseArgs } from 'node:util';
import { inheritedSockets } from '../engine/sessions/inherited-sockets.ts';
import { EXIT_CODES } from '../operations/base/failure.ts';
import { openJournal } from '../sys/systemd/journal.ts';
import { serviceNotices } from '../sys/systemd/service-notices.ts';
import { realWorld, type World } from '../sys/world.ts';
import { exitCodeOf } from './exit-code.ts';
import { type Log, lineLog } from './log.ts';
import { startService } from './service.ts';
import { SETTINGS_FILE, type Settings } from './settings.ts';
import { type SettingsFile, settingsFile } from './settings-file.ts';

/** The version of the protocol: fields and operations are added, never removed. */
const VERSION = '1';

const HELP = `Usage: holdfastd [--config FILE] [--store DIR] [--socket PATH] [--check]

Runs in the foreground: owns one store, and the sessions on it.

  --config FILE   the settings; ${SETTINGS_FILE}, if it is there
  --store DIR     instead of what the settings, or HOLDFAST_STORE, say
  --socket PATH   instead of what the settings, or HOLDFAST_SOCKET, say
  --check         says what is wrong with the settings, and runs nothing

If the settings are invalid when it starts, the last valid ones are in force, and an alarm says so.
SIGHUP reads the settings again. SIGTERM and Ctrl-C flush everything and end it; sessions continue at the next start.`;

const OPTIONS = {
  config: { type: 'string' },
  store: { type: 'string' },
  socket: { type: 'string' },
  check: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Runs the service until a signal ends it, and returns the exit code. */
export async function main(words: readonly string[]): Promise<number> {
  const { npm_lifecycle_event: script, INIT_CWD: directory, JOURNAL_STREAM: journal } = process.env;
  if (script === 'holdfastd' && directory !== undefined) process.chdir(directory);
  const world = realWorld();
  const write = (line: string): void => void process.stderr.write(line);
  // Its terminal may be closed: the log is then lost, and guests continue.
  process.stderr.on('error', () => {});
  const log = lineLog(world.clock, {
    ...{ journal: journal !== undefined, write, identifier: 'holdfastd' },
    fields: journal === undefined ? undefined : openJournal(),
  });
  let values: Values;
  try {
    ({ values } = parseArgs({ args: [...words], options: OPTIONS }));
  } catch (cause) {
    log('error', `${(cause as Error).message}: see "holdfastd --help"`);
    return EXIT_CODES.usage;
  }
  if (values.help === true) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  return exitCodeOf(log, async () => {
    if (values.check === true) {
      await settingsOf(world, values).read();
    } else {
      await serve(world, values, log);
      log('notice', 'stopped');
    }
  });
}

/** Serves until a signal ends it. */
async function serve(world: World, values: Values, log: Log): Promise<void> {
  const signals = heard();
  using notices = serviceNotices(process.env);
  notices.status('resuming sessions');
  await using service = await startService({
    ...{ world, log, version: VERSION, credentials: process.env['CREDENTIALS_DIRECTORY'] },
    settings: settingsOf(world, values),
    stateBefore: ownState() ?? '/var/lib/holdfast',
    sockets: inheritedSockets(process.env),
    onStatus: (status) => notices.status(status),
  });
  log('notice', `ready: ${service.status()}`);
  notices.ready(service.status());
  for await (const signal of signals) {
    if (signal !== 'SIGHUP') {
      log('notice', `${signal}: stopping`);
      notices.stopping();
      break;
    }
    notices.reloading();
    await service.reload();
    log('info', `reloaded: ${service.status()}`);
    notices.ready(service.status());
  }
}

interface Values {
  readonly config?: string;
  readonly store?: string;
  readonly socket?: string;
  readonly check?: boolean;
  readonly help?: boolean;
}

/** The first of the state directories of the unit (systemd.exec(5)). */
function ownState(): string | undefined {
  return process.env['STATE_DIRECTORY']?.split(':')[0];
}

/** The command line takes precedence over the environment, and that over the file. */
function settingsOf({ files }: World, given: Values): SettingsFile {
  const { HOLDFAST_STORE, HOLDFAST_SOCKET, HOLDFAST_STATE } = process.env;
  const file = settingsFile(files, {
    ...{ file: resolve(given.config ?? SETTINGS_FILE), isNamed: given.config !== undefined },
    state: HOLDFAST_STATE ?? ownState(),
  });
  const store = given.store ?? HOLDFAST_STORE;
  const socket = given.socket ?? HOLDFAST_SOCKET;
  const over = (settings: Settings): Settings => ({
    ...settings,
    ...(store !== undefined && { store: resolve(store) }),
    ...(socket !== undefined && { socket: resolve(socket) }),
  });
  return {
    read: async () => over(await file.read()),
    async readOrLast() {
      const { settings, problem } = await file.readOrLast();
      return { settings: over(settings), problem };
    },
  };
}

/** Signals as they arrive: from this call on they no longer end the process on their own. */
function heard(): AsyncIterable<NodeJS.Signals> {
  const queue: NodeJS.Signals[] = [];
  let wake = Promise.withResolvers<void>();
  for (const name of ['SIGHUP', 'SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      queue.push(name);
      wake.resolve();
    });
  }
  return (async function* () {
    for (;;) {
      await wake.promise;
      wake = Promise.withResolvers();
      yield* queue.splice(0);
    }
  })();
}
