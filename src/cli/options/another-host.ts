import { hypervisorNameFor } from '../../client/hypervisor-name.ts';
import type { Operation } from '../../operations/base/operation.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { askOpenly } from '../../sys/terminal/terminal.ts';
import { CheckFailed, UsageError } from '../base/command-errors.ts';
import type { Command, Context, Input } from '../base/command.ts';
import { Interrupted } from '../base/interrupted.ts';
import { option } from '../base/rows.ts';
import { stepsText } from '../render/hypervisor.ts';
import { HOST_KEY, recognition, TLS_FILES } from './host-key.ts';
import { requestOf } from './operation-command.ts';

/*
 * A command for a hypervisor takes the address of one that was not added yet, too: the original may be lost, and a
 * spare host stands there. What runs there needs it for as long as it lives, so it is added, as "hypervisor add" does.
 */

export interface AnotherHost {
  readonly operation: Operation;
  /** The option that names the hypervisor. */
  readonly place: string;
  /** Whether it can be reached through TLS. */
  readonly isTlsUsed: boolean;
}

const AS = option(
  'as',
  'NAME',
  "with an address: the hypervisor's name from now on; default: that of its host",
);

export function withAnotherHost(command: Command, of: AnotherHost): Command {
  const { place, isTlsUsed } = of;
  const own = [AS, HOST_KEY, ...(isTlsUsed ? TLS_FILES : [])];
  const options = command.options.map((row) =>
    row.name === place
      ? { ...row, placeholder: 'HYPERVISOR|URI', description: `${row.description}, or an address` }
      : row,
  );
  const there = command.examples[0].replace(/--(on|to) \S+/, `--${place} ${EXAMPLE_HOST}`);
  return {
    ...command,
    about: [...command.about, about(place)],
    options: [...options, ...own],
    examples: [...command.examples, there],
    async run(input, context) {
      const given = input.text(place);
      if (given?.includes('://')) return runThere(command, { ...of, uri: given, input, context });
      const idle = own.find(({ name }) => input.has(name));
      if (idle) throw new UsageError(`--${idle.name} goes with an address: --${place} ${EXAMPLE}`);
      await command.run(input, context);
    },
  };
}

const EXAMPLE_HOST = 'qemu+ssh://root@10.0.0.7/system';
const EXAMPLE = 'qemu+ssh://ACCOUNT@HOST/system';

function about(place: string): string {
  return (
    `With an address (--${place} ${EXAMPLE}) the command first adds the hypervisor, as "hypervisor add" ` +
    'does: it shows the host key, asks whether it is the right one, and prints what root has to do there. If the ' +
    'command is refused, the hypervisor is removed again; but one that is reached through SSH stays, because it was ' +
    'prepared for its key.'
  );
}

interface There extends AnotherHost {
  readonly uri: string;
  readonly input: Input;
  readonly context: Context;
}

async function runThere(command: Command, there: There): Promise<void> {
  const { operation, isTlsUsed, uri, input, context } = there;
  if (!isTlsUsed && uri.split(':')[0]!.endsWith('+tls')) {
    throw new UsageError(`machines cannot be run through TLS: give an address like ${EXAMPLE}`);
  }
  const isJob = operation.job !== undefined && input.flag('queue');
  // A mistake in another option comes to light before anybody is asked anything.
  const checked = naming(there, 'checked');
  await requestOf(operation, { args: input.args, input: checked, isJob }, context);
  // Without a service it fails, and says why, before a person has prepared a host for nothing.
  if (operation.runs === 'service' && (await context.service()) === undefined) {
    return command.run(checked, context);
  }
  const known = await knownAt(there);
  if (known !== undefined) {
    const shown = await context.call('hypervisor/show', { hypervisor: known });
    await requireReached(shown, { ...there, isNew: false });
    return command.run(naming(there, known), context);
  }
  const added = await addedFor(there);
  const { hypervisor } = added;
  let isDone = false;
  try {
    await requireReached(added, { ...there, isNew: true });
    await command.run(naming(there, hypervisor), context);
    isDone = true;
  } finally {
    // A dry run changes nothing. What was interrupted may still need it, to leave nothing there.
    const isOver = input.has('dry-run') || (!isDone && !context.signal.aborted);
    const stays = added.authorizedKey !== null || !isOver;
    await (stays ? tellAdded(context, hypervisor) : removeAgain(context, hypervisor));
  }
}

/** The same command line, as if the hypervisor were named. */
function naming({ input, place }: There, name: string): Input {
  return { ...input, text: (it) => (it === place ? name : input.text(it)) };
}

/** The hypervisor that was added with this address. Throws UsageError if the command line says something else of it. */
async function knownAt({ uri, input, context }: There): Promise<string | undefined> {
  const { hypervisors } = await context.call('hypervisor/list', {});
  const known = hypervisors.find((it) => it.uri === uri);
  if (!known) return undefined;
  const { hypervisor, fingerprint } = known;
  const [as, hostKey] = [input.text('as'), input.text('host-key')];
  const what = `${uri} was added as hypervisor "${hypervisor}"`;
  if (as !== undefined && as !== hypervisor) throw new UsageError(`${what}: leave out --as`);
  if (hostKey !== undefined && hostKey !== fingerprint) {
    throw new UsageError(
      `${what}, with the host key ${fingerprint}, which is not ${hostKey}. If its key was changed on purpose: ` +
        `holdfast hypervisor change ${hypervisor} --host-key ${hostKey}`,
    );
  }
  return hypervisor;
}

type Added = ResultOf<'hypervisor/add'>;

async function addedFor({ uri, input, context }: There): Promise<Added> {
  const { hypervisors } = await context.call('hypervisor/list', {});
  const taken = hypervisors.map(({ hypervisor }) => hypervisor);
  const hypervisor = input.text('as') ?? hypervisorNameFor(uri, taken);
  const known = await recognition(uri, input, context);
  const own = { sockets: undefined, scratch: undefined };
  return context.call('hypervisor/add', { hypervisor, uri, ...own, ...known });
}

interface Reaching extends There {
  /** The host cannot have the line of a key that was created just now. */
  readonly isNew: boolean;
}

/** Waits for a person who prepares it, if there is one. Throws CheckFailed, Interrupted. */
async function requireReached(
  it: Added,
  { place, uri, context: { output, call }, isNew }: Reaching,
): Promise<void> {
  const { hypervisor, authorizedKey } = it;
  const todo = stepsText(it).join('\n').trim();
  const isKeyMissing = isNew && authorizedKey !== null;
  let why = isKeyMissing ? `${uri} does not know our key yet` : await whyNotReached(it, call);
  if (why === undefined) return;
  if (authorizedKey === null) throw new CheckFailed(todo === '' ? why : `${why}\n${todo}`);
  const next = `give the same command (--${place} ${uri}) again`;
  output.say(todo);
  while (why !== undefined) {
    output.say(`\n${why}`);
    const answer = output.json ? 'no terminal' : askOpenly('Press Enter once that is done: ');
    if (answer === 'interrupted') throw new Interrupted('interrupted');
    if (answer === 'no terminal') {
      throw new CheckFailed(
        `${why}. Put this line into authorized_keys of the account there, and ${next}:\n${authorizedKey}\n` +
          `All steps: holdfast hypervisor show ${hypervisor}`,
      );
    }
    why = await whyNotReached(it, call);
  }
}

async function whyNotReached(
  { hypervisor }: Added,
  call: Context['call'],
): Promise<string | undefined> {
  const { findings } = await call('hypervisor/test', { hypervisor, machine: undefined });
  // What a backup lacks there does not matter here.
  const [{ level, message } = { level: 'ok', message: '' }] = findings;
  return level === 'blocker' ? message : undefined;
}

function tellAdded({ output }: Context, hypervisor: string, why = ''): void {
  const message = `Hypervisor "${hypervisor}" was added.${why} To remove it: holdfast hypervisor remove ${hypervisor}`;
  output.report({ event: 'notice', message });
}

/** The command that failed may have ended because of Ctrl-C. It stays while something of the command is there. */
async function removeAgain(context: Context, hypervisor: string): Promise<void> {
  const call = context.callOn(new AbortController().signal);
  try {
    await call('hypervisor/remove', { hypervisor, force: false });
    const message = `Hypervisor "${hypervisor}", which was added for this command, is removed again.`;
    context.output.report({ event: 'notice', message });
  } catch (cause) {
    tellAdded(context, hypervisor, ` It stays: ${(cause as Error).message}.`);
  }
}
