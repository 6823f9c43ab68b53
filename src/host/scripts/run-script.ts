import type { World } from '../../sys/world.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { isMissing, startTool } from '../../sys/process/tool.ts';
import { sandboxProgram } from '../../sys/sandbox/sandbox-program.ts';
import { HostError } from '../base/host-error.ts';
import { checkScript } from './script-file.ts';
import { scriptUnit } from './script-unit.ts';

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
/** A page of text. */
const OUTPUT_MAX = 4096;
/** What sandbox-main.ts says, and systemd-run of why the unit has ended. */
const BEGUN = /^the script begins$/m;
const RESULT = /^Finished with result: (\S+)$/m;

/** Rejects as `checkScript` does; FAILED if no sandbox can be made; with the signal's reason. */
export async function runScript(
  { files, random }: Pick<World, 'files' | 'random'>,
  { script, sockets, environment, seconds, signal }: ScriptRun,
): Promise<ScriptEnd> {
  const path = checkScript(script);
  const id = Buffer.from(random.bytes(ID_LENGTH)).toString('hex');
  const links = new Set(await files.links('/'));
  const unit = scriptUnit({
    ...{ unit: `holdfast-script-${id}.service`, path, sockets, environment, seconds },
    program: sandboxProgram(),
    directories: (await files.list('/')).filter((it) => !links.has(it)),
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
  return { isPassed: end.code === 0, detail: `${howOf(end, seconds)}${shown(output)}` };
}

function howOf(
  {
    code,
    stopped,
    stderr,
  }: { readonly code: number | undefined; readonly stopped: unknown; readonly stderr: string },
  seconds: number,
): string {
  const [, result] = RESULT.exec(stderr) ?? [];
  if (stopped !== undefined || result === 'timeout') return `it did not end within ${seconds} s`;
  if (result === 'oom-kill') return 'it needed more memory than it may have, and was ended';
  return `exit code ${code}`;
}

/** Lines side by side, as a detail is one. */
function shown(output: string): string {
  const lines = output.split('\n').map((it) => it.trim());
  const text = lines.filter((it) => it !== '').join(' / ');
  return text === '' ? '' : `: ${text}`;
}

function noSandbox(why: string): HostError {
  return new HostError('FAILED', `systemd makes no sandbox for the script: ${why}`);
}
