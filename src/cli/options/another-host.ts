import { isThroughTls } from '../../client/hypervisor-address.ts';
import { hypervisorNameFor, takenName } from '../../client/hypervisor-name.ts';
import { shellWords } from '../../lib/shell-words.ts';
import { parse, SchemaError } from '../../lib/schema.ts';
import type { Operation } from '../../operations/base/operation.ts';
import type { ShownFinding, ShownHypervisor } from '../../operations/nouns/hypervisor.ts';
import { OPERATIONS, type ResultOf } from '../../operations/operations.ts';
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
    'command is refused, or is a dry run, the hypervisor is removed again; but one that is reached through SSH ' +
    'stays, because it was prepared for its key.'
  );
}

interface There extends AnotherHost {
  readonly uri: string;
  readonly input: Input;
  readonly context: Context;
}

async function runThere(command: Command, there: There): Promise<void> {
  const { operation, isTlsUsed, uri, input, context } = there;
  if (!isTlsUsed && isThroughTls(uri)) {
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
  const { hypervisors } = await context.call('hypervisor/list', {});
  const known = knownAt(there, hypervisors);
  if (known !== undefined) {
    const shown = await context.call('hypervisor/show', { hypervisor: known });
    await requireReached(shown, { ...there, isNew: false });
    return command.run(naming(there, known), context);
  }
  const added = await addedFor(there, hypervisors);
  const { hypervisor } = added;
  let [hasBegun, isDone] = [false, false];
  try {
    await requireReached(added, { ...there, isNew: true });
    hasBegun = true;
    await command.run(naming(there, hypervisor), context);
    isDone = true;
  } finally {
    // A dry run changes nothing. What was interrupted may still need it, to leave nothing there.
    const isNeeded = isDone || (hasBegun && context.signal.aborted);
    const isOver = input.has('dry-run') || !isNeeded;
    const stays = added.authorizedKey !== null || !isOver;
    await (stays ? tellAdded(context, hypervisor) : removeAgain(context, hypervisor));
  }
}

/** The same command line, as if the hypervisor were named. */
function naming({ input, place }: There, name: string): Input {
  return { ...input, text: (it) => (it === place ? name : input.text(it)) };
}

/** The hypervisor that was added with this address. Throws UsageError if the command line says something else of it. */
function knownAt(
  { uri, input, isTlsUsed }: There,
  hypervisors: readonly ShownHypervisor[],
): string | undefined {
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
  const idle = isTlsUsed ? TLS_FILES.find(({ name }) => input.has(name)) : undefined;
  if (idle) {
    const words = ['hypervisor', 'change', hypervisor, `--${idle.name}`, input.text(idle.name)!];
    throw new UsageError(
      `${what}: leave out --${idle.name}. To change it there: holdfast ${shellWords(words)}`,
    );
  }
  return hypervisor;
}

type Added = ResultOf<'hypervisor/add'>;

async function addedFor(
  { place, uri, input, context }: There,
  hypervisors: readonly ShownHypervisor[],
): Promise<Added> {
  const taken = hypervisors.map(({ hypervisor }) => hypervisor);
  const hypervisor = input.text('as') ?? hypervisorNameFor(uri, taken);
  requirePossible({ hypervisor, uri, place }, hypervisors);
  const known = await recognition(uri, input, context);
  const own = { sockets: undefined, scratch: undefined };
  return context.call('hypervisor/add', { hypervisor, uri, ...own, ...known });
}

/** Throws UsageError for a name or an address that would be refused, before a person compares a host key for it. */
function requirePossible(
  { hypervisor, uri, place }: Pick<Added, 'hypervisor' | 'uri'> & { readonly place: string },
  hypervisors: readonly ShownHypervisor[],
): void {
  const taken = takenName(hypervisor, hypervisors);
  if (taken !== undefined) throw new UsageError(`--as: ${taken}`);
  try {
    parse(OPERATIONS['hypervisor/add'].request, { hypervisor, uri });
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new UsageError(`--${cause.at[0] === 'uri' ? place : 'as'}: ${cause.reason}`, { cause });
  }
}

interface Reaching extends There {
  /** The host cannot have the line of a key that was created just now. */
  readonly isNew: boolean;
}

/** Waits for a person who lets our key in there, if there is one. Throws CheckFailed, Interrupted. */
async function requireReached(
  it: Added,
  { place, uri, context: { output, call }, isNew }: Reaching,
): Promise<void> {
  const { hypervisor, authorizedKey } = it;
  const todo = stepsText(it).join('\n').trim();
  const isKeyMissing = isNew && authorizedKey !== null;
  let why = isKeyMissing ? keyMissing(uri) : await whyNotReached(it, call);
  if (why === undefined) return;
  if (authorizedKey === null) {
    throw new CheckFailed(todo === '' ? wordsOf(why) : `${wordsOf(why)}\n${todo}`);
  }
  const next = `give the same command (--${place} ${uri}) again`;
  if (why.code === 'rights') output.say(todo);
  while (why !== undefined) {
    // A host that is down, or is another one, is not helped by our key.
    if (why.code !== 'rights') throw new CheckFailed(wordsOf(why));
    const { message } = why;
    output.say(`\n${message}`);
    const answer = output.json ? 'no terminal' : askOpenly('Press Enter once that is done: ');
    if (answer === 'interrupted') throw new Interrupted('interrupted');
    if (answer === 'no terminal') {
      throw new CheckFailed(
        `${message}. Put this line into authorized_keys of the account there, and ${next}:\n${authorizedKey}\n` +
          `All steps: holdfast hypervisor show ${hypervisor}`,
      );
    }
    why = await whyNotReached(it, call);
  }
}

type Why = Pick<ShownFinding, 'code' | 'message' | 'remedy'>;

const keyMissing = (uri: string): Why => ({
  ...{ code: 'rights', message: `${uri} does not know our key yet`, remedy: null },
});

async function whyNotReached(
  { hypervisor }: Added,
  call: Context['call'],
): Promise<Why | undefined> {
  const { findings } = await call('hypervisor/test', { hypervisor, machine: undefined });
  // What a backup lacks there does not matter here.
  const [first] = findings;
  return first?.level === 'blocker' ? first : undefined;
}

/** The remedy for missing rights are the steps, which are shown beside it. */
function wordsOf({ code, message, remedy }: Why): string {
  return remedy === null || code === 'rights' ? message : `${message}: ${remedy}`;
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
