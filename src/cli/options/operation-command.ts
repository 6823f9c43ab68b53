import {
  type Fields,
  hintsOf,
  parse,
  parts,
  type Schema,
  SchemaError,
  descriptionOf,
} from '../../lib/schema.ts';
import { asJob, type Operation, type OptionSpec } from '../../operations/base/operation.ts';
import type { OperationName } from '../../operations/operations.ts';
import type { Command, Context, Input, Row } from '../base/command.ts';
import { secondsOf } from './durations.ts';
import { queueJob } from './queued-job.ts';
import { flag } from '../base/rows.ts';
import { UsageError } from '../base/command-errors.ts';
import type { Render } from '../render/render.ts';

/* A command derived from an operation's declaration: each field is an argument or an option. */

/** A row, and the place of its value in the request. */
interface Place {
  readonly row: Row;
  readonly path: readonly string[];
  readonly schema: Schema<unknown>;
  readonly form: OptionSpec['form'];
}

/** Without `text` for its results, the declaration has one. */
export function operationCommand(operation: Operation, text: Render<never> | undefined): Command {
  const { summary, description, cli, job, name, key } = operation;
  if (!cli) throw new Error(`${name} has no command`);
  const { says = '' } = cli;
  const render: Render<never> = text ?? ((result: object) => sentenceOf(says, result));
  const options = optionsOf(operation);
  const queue = flag('queue', QUEUE);
  return {
    summary,
    about: [description, cli.notes].filter((it) => it !== undefined),
    args: argumentsOf(operation).map(({ row }) => ({ ...row, name: row.placeholder })),
    options: [
      ...options.filter(({ withQueue }) => !withQueue),
      ...(job ? [queue] : []),
      ...options.filter(({ withQueue }) => withQueue),
    ],
    examples: cli.examples,
    async run(input, context) {
      const isJob = job !== undefined && input.flag('queue');
      const request = await requestOf(operation, { args: input.args, input, isJob }, context);
      if (isJob) return queueJob({ kind: job.kind, request } as never, context);
      const ask = ({ opens: 'if needed', given: 'never', new: 'new' } as const)[key ?? 'opens'];
      const result = await context.call(name as OperationName, request, { ask });
      const shown: Exclude<Render<never>, (...it: never) => string> = typeof render === 'function'
        ? { text: render }
        : render;
      const verbatim = context.output.json ? undefined : shown.verbatim?.(result as never);
      if (verbatim !== undefined) return await context.output.verbatim(verbatim);
      context.output.result(result, () => shown.text(result as never, request as never));
      for (const line of shown.say?.(result as never) ?? []) context.output.say(line);
      const failure = shown.failure?.(result as never);
      if (failure) throw failure;
    },
  };
}

function sentenceOf(says: string, result: object): string {
  const fields: Readonly<Record<string, unknown>> = { ...result };
  return says.replaceAll(/\{(\w+)\}/g, (_, name: string) => String(fields[name]));
}

const QUEUE =
  'run as a job of the service: failures are retried, even after a restart; a given key is kept in ' +
  'memory until it has ended';

function placesOf({ request, cli, job }: Operation): readonly Place[] {
  const specs = cli?.options ?? {};
  const own = Object.entries(parts(request).entries ?? {});
  const also = Object.entries(job?.also ?? {});
  return [...own, ...also].flatMap(([name, schema]): readonly Place[] => {
    const spec = specs[name] ?? {};
    if (spec.hidden) return [];
    const isAlso = also.some(([it]) => it === name);
    const inner = spec.spread === undefined ? [] : Object.entries(entriesIn(schema));
    const found =
      spec.spread === undefined
        ? [placeOf([name], schema, spec)]
        : inner.map(([it, one]) =>
            placeOf([name, it], one, { name: `${spec.spread}${kebab(it)}` }),
          );
    return isAlso ? found.map((it) => ({ ...it, row: { ...it.row, withQueue: true } })) : found;
  });
}

function argumentsOf(operation: Operation): readonly Place[] {
  const places = placesOf(operation);
  return (operation.cli?.args ?? []).map(
    (name) => places.find(({ path }) => path.join() === name)!,
  );
}

function optionPlaces(operation: Operation): readonly Place[] {
  const args = operation.cli?.args ?? [];
  return placesOf(operation).filter(({ path }) => !args.includes(path.join()));
}

/** The options derived from an operation's fields, including those of its job. */
export function optionsOf(operation: Operation): readonly Row[] {
  return optionPlaces(operation).map(({ row }) => row);
}

function entriesIn(schema: Schema<unknown>): Fields {
  const { wrapped, entries } = parts(schema);
  return wrapped ? entriesIn(wrapped) : (entries ?? {});
}

/** Limits beyond it mean nothing to people. */
const WIDE = 10_000;
/** For a longer list, the description names the choices. */
const CHOICES_LENGTH_MAX = 20;

function placeOf(path: readonly string[], schema: Schema<unknown>, spec: OptionSpec): Place {
  const hints = hintsOf(schema);
  const { type, choices, range, isOptional, otherwise } = valueOf(schema);
  const placeholder = hints.placeholder ?? path.at(-1)!.toUpperCase();
  const isShort = choices !== undefined && choices.join('|').length <= CHOICES_LENGTH_MAX;
  const limits =
    range && range[1] < WIDE && spec.form === undefined ? `, ${range.join(' to ')}` : '';
  const isPlain =
    (typeof otherwise === 'string' || typeof otherwise === 'number') && path.length === 1;
  const standard = isPlain ? ` (default: ${otherwise})` : '';
  return {
    ...{ path, schema, form: spec.form },
    row: {
      name: spec.name ?? kebab(path.at(-1)!),
      kind: type === 'boolean' ? 'flag' : type === 'array' ? 'list' : 'value',
      placeholder: type === 'boolean' ? '' : isShort ? choices.join('|') : placeholder,
      description: `${descriptionOf(schema)}${limits}${standard}`,
      isRequired: !isOptional,
      words: choices ?? hints.suggests ?? [],
      names: hints.names ? [hints.names] : [],
      files: hints.hostFile !== undefined || /IMAGE/.test(placeholder),
    },
  };
}

function valueOf(schema: Schema<unknown>) {
  let it = parts(schema);
  const isOptional = it.type === 'optional';
  const otherwise = it.default;
  while (it.wrapped) it = parts(it.wrapped);
  const { type, item, choices, range } = it;
  return { type, item, choices, range, isOptional, otherwise };
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (it) => `-${it.toLowerCase()}`);
}

interface Words {
  readonly args: readonly string[];
  readonly input: Input;
  readonly isJob: boolean;
}

/** The request of the command line, validated as the service does. Throws UsageError. */
export async function requestOf(
  operation: Operation,
  { args: words, input, isJob }: Words,
  { path }: Pick<Context, 'path'>,
): Promise<object> {
  const { request: schema } = operation;
  const [args, options] = [argumentsOf(operation), optionPlaces(operation)];
  const idle = options.find(({ row }) => row.withQueue && input.has(row.name));
  if (idle && !isJob) throw new UsageError(`--${idle.row.name} goes with --queue`);
  const request: Record<string, unknown> = {};
  for (const place of args) {
    const at = args.indexOf(place);
    const given = place.row.kind === 'list' ? words.slice(at) : words[at];
    if (given !== undefined) put(request, place, given);
  }
  for (const place of options) {
    const { name, kind } = place.row;
    if (!input.has(name)) continue;
    put(
      request,
      place,
      kind === 'flag' ? true : kind === 'list' ? input.texts(name) : input.text(name)!,
    );
  }
  const whole = isJob ? asJob(operation) : schema;
  try {
    return (await located(whole, parse(whole, request), path)) as object;
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new UsageError(spoken(cause, args, options), { cause });
  }
}

function put(
  request: Record<string, unknown>,
  place: Place,
  given: string | boolean | readonly string[],
): void {
  const value =
    typeof given === 'boolean'
      ? given
      : typeof given === 'string'
        ? valueFrom(given, place)
        : given.map((it) => valueFrom(it, place));
  const [first = '', second] = place.path;
  request[first] =
    second === undefined ? value : { ...(request[first] as object | undefined), [second]: value };
}

/** Throws UsageError. The schema judges the value. */
function valueFrom(text: string, { row, schema, form }: Place): unknown {
  if (form === 'duration') return secondsOf(text);
  if (form === 'name=where') {
    const at = text.indexOf('=');
    if (at < 1 || at === text.length - 1)
      throw new UsageError(`--${row.name} ${text}: not ${row.placeholder}`);
    return { name: text.slice(0, at), where: text.slice(at + 1) };
  }
  const { type, item } = valueOf(schema);
  const isNumber = (item ? parts(item).type : type) === 'number';
  return isNumber && /^-?\d{1,17}$/.test(text) ? Number(text) : text;
}

/** The error in terms of the command line: the field's name means nothing to a person who wrote `--expires`. */
function spoken(
  { at, reason }: SchemaError,
  args: readonly Place[],
  options: readonly Place[],
): string {
  const isAt = ({ path }: Place): boolean => path.every((name, index) => at[index] === name);
  const isBelow = ({ path }: Place): boolean => at.length < path.length && at[0] === path[0];
  const argument = args.find(isAt);
  const option = options.find(isAt) ?? options.find(isBelow);
  const name = argument
    ? argument.row.placeholder
    : option === undefined
      ? at.join('.')
      : isAt(option)
        ? `--${option.row.name}`
        : `--${option.row.name.replace(/-[^-]*$/, '-...')}`;
  const form = option?.row.kind === 'list' ? ` ${option.row.placeholder}` : '';
  return reason === 'is missing' ? `${name}${form} ${reason}` : `${name}: ${reason}`;
}

/** The same request with every path on the service's machine as the service finds it. */
async function located(
  schema: Schema<unknown>,
  value: unknown,
  path: (given: string) => Promise<string>,
): Promise<unknown> {
  if (value === undefined || value === null) return value;
  const { hostFile } = hintsOf(schema);
  if (typeof value === 'string') {
    const isFile = hostFile !== undefined && !(hostFile !== true && hostFile.test(value));
    return isFile ? path(value) : value;
  }
  const { wrapped, item, entries } = parts(schema);
  if (wrapped) return located(wrapped, value, path);
  if (item && Array.isArray(value)) return Promise.all(value.map((it) => located(item, it, path)));
  if (!entries || typeof value !== 'object') return value;
  const found = Object.entries(value).map(
    async ([name, it]) =>
      [name, entries[name] ? await located(entries[name], it, path) : it] as const,
  );
  return Object.fromEntries(await Promise.all(found));
}
