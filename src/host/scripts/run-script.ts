import type { World } from '../../sys/world.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { isMissing, startTool, type ToolEnd } from '../../sys/process/tool.ts';
import { sandboxProgram } from '../../sys/sandbox/sandbox-program.ts';
import { HostError } from '../base/host-error.ts';
import { checkScript } from './script-file.ts';
import { type RootNames, scriptUnit } from './script-unit.ts';

/* A script of the administrator's, run in a sandbox against the ports of a guest (script-unit.ts). Needs root. */

export interface ScriptRun {
  readonly script: string;
  /** The directory with sockets of the guest's ports. */
  readonly sockets: string;
  readonly environment: Readonly<Record<string, string>>;
  /** After which it is killed. */
  readonly seconds: number;
  readonly signal: AbortSignal;
}

export interface ScriptEnd {
  readonly isPassed: boolean;
  /** For people: how it ended, and the end of what it has printed. */
  readonly detail: string;
}

/** What a script learns of the boot, besides the guest's ports (sys/sandbox/sandbox-main.ts). */
export function scriptEnvironment(about: {
  readonly set: string;
  readonly machine: string;
  readonly point: string;
}): Readonly<Record<string, string>> {
  const { set, machine, point } = about;
  return { HOLDFAST_SET: set, HOLDFAST_MACHINE: machine, HOLDFAST_POINT: point };
}

const ID_LENGTH = 8;
/** systemd's own limit comes first; it also ends what this process has left behind. */
const GRACE_MS = 5000;
/** As bytes of JSON, of which a field of a proof may have 4096: the end is what says why, and must not be cut there. */
const OUTPUT_MAX = 3072;
/** What sandbox-main.ts says, and systemd-run of why the unit has ended. */
const BEGUN = /^the script begins$/m;
const ENDED = /^the script ended: (\d+)$/m;
const RESULT = /^Finished with result: (\S+)$/m;

/** Rejects as `checkScript` does; FAILED if no sandbox can be made; with the signal's reason. */
export async function runScript(
  { files, random }: Pick<World, 'files' | 'random'>,
  { script, sockets, environment, seconds, signal }: ScriptRun,
): Promise<ScriptEnd> {
  const path = checkScript(script);
  const id = Buffer.from(random.bytes(ID_LENGTH)).toString('hex');
  const unit = scriptUnit({
    ...{ unit: `holdfast-script-${id}.service`, path, sockets, environment, seconds },
    program: sandboxProgram(),
    root: await rootNames(files),
  });
  await using tool = await startTool('systemd-run', unit, {
    timeoutMs: seconds * 1000 + GRACE_MS,
    signal,
  }).catch((cause: unknown) => {
    throw cause instanceof SystemError ? noSandbox(cause.message) : cause;
  });
  let output = '';
  tool.stdout.setEncoding('utf8');
  tool.stdout.on('data', (text: string) => (output = (output + text).slice(-OUTPUT_MAX)));
  // Its input stays open: the sandbox ends when this process does.
  const end = await tool.ended;
  signal.throwIfAborted();
  if (isMissing(end) || !BEGUN.test(end.stderr)) throw noSandbox(end.stderr.trim().slice(-300));
  return {
    isPassed: hasPassed(end),
    detail: `${howOf(end, seconds)}${shown(output)}`,
  };
}

/** For systemd a unit that SIGTERM, SIGHUP, SIGINT or SIGPIPE ended has code 0: only the sandbox's own word counts. */
export function hasPassed({ code, stderr }: Pick<ToolEnd, 'code' | 'stderr'>): boolean {
  return code === 0 && ENDED.exec(stderr)?.[1] === '0';
}

function howOf({ code, stopped, stderr }: ToolEnd, seconds: number): string {
  const [, result] = RESULT.exec(stderr) ?? [];
  if (stopped !== undefined || result === 'timeout') return `it did not end within ${seconds} s`;
  if (result === 'oom-kill') return 'it needed more memory than it may have, and was ended';
  if (!ENDED.test(stderr)) return 'the sandbox ended before the script did';
  return `exit code ${code}`;
}

/** The end of it, with lines side by side, as a detail is one. */
export function shown(output: string): string {
  const lines = output.split('\n').map((it) => it.trim());
  const signs = Array.from(lines.filter((it) => it !== '').join(' / '));
  let bytes = 0;
  const cut = signs.findLastIndex((it) => {
    bytes += Buffer.byteLength(JSON.stringify(it)) - 2;
    return bytes > OUTPUT_MAX;
  });
  const text = signs.slice(cut + 1).join('');
  return text === '' ? '' : `: ${text}`;
}

/** What a sandbox must hide of the root directory. */
export async function rootNames(
  files: Pick<World['files'], 'list' | 'links' | 'stat'>,
): Promise<RootNames> {
  const links = new Set(await files.links('/'));
  const directories: string[] = [];
  const others: string[] = [];
  for (const name of await files.list('/')) {
    if (links.has(name)) continue;
    const found = await files.stat(`/${name}`);
    if (found) (found.kind === 'directory' ? directories : others).push(name);
  }
  return { directories, others };
}

function noSandbox(why: string): HostError {
  return new HostError('FAILED', `systemd makes no sandbox for the script: ${why}`);
}
