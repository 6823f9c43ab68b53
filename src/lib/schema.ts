import * as v from 'valibot';

/*
 * Schemas of JSON values from outside: a value is checked once where it enters, and trusted inside. They are our own
 * vocabulary over valibot, which no other room imports: valibot's messages quote the value, which may be a secret;
 * ours name only its kind. A schema is a plain object: help, completion, forms and JSON Schema are derived from it
 * (`fieldsOf`).
 */
export type Schema<T> = v.GenericSchema<unknown, T>;

export type Of<S> = S extends v.GenericSchema<unknown, infer T> ? T : never;

export type JsonObject = Readonly<Record<string, unknown>>;

export type Path = readonly (string | number)[];

export class SchemaError extends Error {
  override readonly name = 'SchemaError';
  readonly at: Path;
  /** The message without the place. */
  readonly reason: string;
  constructor(at: Path, reason: string) {
    super(at.length > 0 ? `${at.join('.')}: ${reason}` : reason);
    this.at = at;
    this.reason = reason;
  }
}

/**
 * Returns the value as a T; throws SchemaError. No error of valibot leaves this function: each contains the refused
 * value, and logs show the cause of an error.
 */
export function parse<T>(schema: Schema<T>, value: unknown, at: Path = []): T {
  const { success, output, issues } = v.safeParse(schema, value, { abortEarly: true });
  if (success) return output;
  const [{ message, path = [] }] = issues;
  throw new SchemaError([...at, ...path.map(({ key }) => key as string | number)], message);
}

type Message = (issue: v.BaseIssue<unknown>) => string;

/** A message that names the value found by its kind only. */
function expected(what: string): Message {
  return ({ input }) => (input === undefined ? 'is missing' : `${what}, not ${kindOf(input)}`);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'string') return 'a text';
  return typeof value === 'boolean' ? 'true or false' : `a ${typeof value}`;
}

function lengthIn(what: string): Message {
  return ({ input }) => `${what}, not ${(input as string | readonly unknown[]).length}`;
}

/** `max` counts UTF-16 units. */
export function text({
  max,
  min = 1,
  pattern,
  words,
}: {
  readonly max: number;
  readonly min?: number;
  readonly pattern?: RegExp;
  /** The meaning of the pattern, for people. */
  readonly words?: string;
}): Schema<string> {
  const length = lengthIn(`a text of ${min} to ${max} characters`);
  const [base, least, most] = [
    v.string(expected('a text')),
    v.minLength<string, number, Message>(min, length),
    v.maxLength<string, number, Message>(max, length),
  ];
  if (!pattern) return v.pipe(base, least, most);
  const allowed = `not ${words ?? `what ${pattern.source} allows`}`;
  return v.pipe(base, least, most, v.regex(pattern, allowed));
}

export function integer(minimum: number, maximum: number): Schema<number> {
  const range = `a number from ${minimum} to ${maximum}`;
  const whole = expected('a whole number');
  return v.pipe(
    v.number(whole),
    v.safeInteger(whole),
    v.minValue(minimum, range),
    v.maxValue(maximum, range),
  );
}

export function flag(): Schema<boolean> {
  return v.boolean(expected('true or false'));
}

export function oneOf<const T extends string>(...values: readonly T[]): Schema<T> {
  return v.picklist(values, ({ input }) =>
    input === undefined ? 'is missing' : `one of ${values.join(', ')}`,
  );
}

export function list<T>(items: Schema<T>, maxItems: number, minItems = 0): Schema<readonly T[]> {
  const length = lengthIn(`a list of ${minItems} to ${maxItems}`);
  return v.pipe(
    v.array(items, expected('a list')),
    v.minLength<T[], number, Message>(minItems, length),
    v.maxLength<T[], number, Message>(maxItems, length),
  );
}

type Run = v.GenericSchema['~run'];

const isObject = expected('an object');

/** valibot accepts a list as an object if no field is required. */
function objectsOnly<S extends v.GenericSchema>(schema: S, run: Run = schema['~run'].bind(schema)) {
  const checked: Run = (dataset, config) => {
    const { value } = dataset;
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return run(dataset, config);
    v._addIssue(schema as never, 'type', dataset, config, { message: isObject });
    return dataset as never;
  };
  return { ...schema, '~run': checked } as S;
}

/** An object with any field names, even `__proto__`, which valibot itself drops without a message. */
export function record<T>(
  values: Schema<T>,
  maxProperties: number,
): Schema<Readonly<Record<string, T>>> {
  const schema = v.record(v.string(), values);
  const run: Run = (dataset, config) => {
    const given = dataset.value as JsonObject;
    const names = Object.keys(given);
    if (names.length > maxProperties) {
      const message = `at most ${maxProperties} fields, not ${names.length}`;
      v._addIssue(schema as never, 'type', dataset, config, { message });
      return dataset as never;
    }
    const found: (readonly [string, unknown])[] = [];
    for (const key of names) {
      const { issues, value } = values['~run']({ value: given[key] }, config);
      if (issues) return { typed: false, value, issues: [within(issues[0], key, given)] };
      found.push([key, value]);
    }
    return { typed: true, value: Object.fromEntries(found) };
  };
  return objectsOnly(schema, run) as Schema<Readonly<Record<string, T>>>;
}

function within(issue: v.BaseIssue<unknown>, key: string, input: JsonObject) {
  const item = { type: 'object', origin: 'value', input, key, value: input[key] } as const;
  return { ...issue, path: [item, ...(issue.path ?? [])] } as v.BaseIssue<unknown>;
}

/** Any object of at most `max` characters as JSON. Its contents are checked elsewhere. */
export function anyObject(max: number): Schema<JsonObject> {
  const schema = v.looseObject({});
  const isShort = (value: JsonObject): boolean => JSON.stringify(value).length <= max;
  const any = objectsOnly(schema, (dataset) => ({ ...dataset, typed: true }) as never);
  return v.pipe(any, v.check(isShort, 'an object that is shorter'));
}

export type Fields = Readonly<Record<string, Schema<unknown>>>;

export type ObjectOf<F extends Fields> = { readonly [K in keyof F]: Of<F[K]> };

/**
 * An object of exactly these fields. A missing optional field is there in the result, as undefined, as its type says.
 */
export function object<const F extends Fields>(fields: F): Schema<ObjectOf<F>> {
  const names = Object.keys(fields);
  const known = names.length > 0 ? `one of ${names.join(', ')}` : 'nothing';
  const schema = v.strictObject(fields as v.ObjectEntries, (issue) =>
    issue.expected === 'never' ? `there is no such field; expected ${known}` : isObject(issue),
  );
  const run: Run = (dataset, config) => {
    const found = schema['~run'](dataset, config);
    if (!found.typed) return found;
    const value: Record<string, unknown> = found.value;
    for (const name of names) if (!Object.hasOwn(value, name)) value[name] = undefined;
    return found;
  };
  return objectsOnly(schema, run) as never;
}

/** Objects of several kinds. The text in the field `tag` names the kind; `which` describes that field. */
export function variants<const F extends Readonly<Record<string, Fields>>, const T extends string>(
  tag: T,
  kinds: F,
  which = 'which of them it is',
): Schema<
  {
    [K in keyof F & string]: { readonly [P in T]: K } & ObjectOf<F[K]>;
  }[keyof F & string]
> {
  const names = Object.keys(kinds);
  const options = names.map((kind) => object({ [tag]: field(oneOf(kind), which), ...kinds[kind] }));
  const schema = v.variant(tag, options as never, (issue: v.BaseIssue<unknown>) =>
    issue.path ? `one of ${names.join(', ')}` : isObject(issue),
  );
  return objectsOnly(schema) as never;
}

export function optional<T>(schema: Schema<T>): Schema<T | undefined> {
  return v.optional(schema);
}

export function withDefault<T>(schema: Schema<T>, value: T): Schema<T> {
  return v.optional(schema, value as never) as Schema<T>;
}

export function nullable<T>(schema: Schema<T>): Schema<T | null> {
  return v.nullable(schema);
}

/** For clients: properties of a field besides its allowed values. */
export interface Hints {
  /** Stands for the value in help: `DAYS`. */
  readonly placeholder?: string;
  /** The label in forms; default: the field's name, in words. */
  readonly label?: string;
  /** Values that completion offers; others are allowed. */
  readonly suggests?: readonly string[];
  /** Completion offers names of this kind. */
  readonly names?: NameKind;
  /** The value names a file, a device or a socket of the service's machine: always, or unless it matches. */
  readonly hostFile?: true | RegExp;
}

export type NameKind =
  | 'disks'
  | 'hosted'
  | 'hypervisors'
  | 'jobs'
  | 'machines'
  | 'points'
  | 'schedules'
  | 'sessions'
  | 'sets'
  | 'tokens';

/** Apply it outermost, around `optional` and defaults: a description inside of these is not found. */
export function field<T>(schema: Schema<T>, description: string, hints?: Hints): Schema<T> {
  return hints
    ? v.pipe(schema, v.description(description), v.metadata({ [HINTS]: hints }))
    : v.pipe(schema, v.description(description));
}

/** The key of the hints in valibot's metadata of a schema. */
export const HINTS = 'holdfast';

export function hintsOf(schema: Schema<unknown>): Hints {
  return hintsIn(v.getMetadata(schema));
}

export function hintsIn(metadata: JsonObject): Hints {
  return metadata[HINTS] ?? {};
}

/** The parts of a schema. A part is present only if the schema is of a kind that has it. */
export interface Parts {
  readonly type: string;
  /** The schema inside `optional`, `withDefault` and `nullable`. */
  readonly wrapped?: Schema<unknown>;
  /** Fields of an object, in their order. */
  readonly entries?: Fields;
  /** The items of a list. */
  readonly item?: Schema<unknown>;
  /** The values of a record. */
  readonly value?: Schema<unknown>;
  /** The variants, and the field that tells them apart. */
  readonly options?: readonly Schema<unknown>[];
  readonly key?: string;
  /** The allowed texts. */
  readonly choices?: readonly string[];
  /** The limits of a number. */
  readonly range?: readonly [number, number];
  readonly default?: unknown;
}

/** valibot's schemas are plain objects. */
export function parts(schema: Schema<unknown>): Parts {
  const { options, pipe, ...known } = schema as unknown as Inside;
  if (known.type === 'picklist') return { ...known, choices: options as readonly string[] };
  if (known.type === 'variant') return { ...known, options: options as Parts['options'] & object };
  const [min, max] = ['min_value', 'max_value'].map(
    (type) => pipe?.find((it) => it.type === type)?.requirement,
  );
  const isNarrow = min !== undefined && max !== undefined && max < Number.MAX_SAFE_INTEGER;
  return isNarrow ? { ...known, range: [min, max] } : known;
}

interface Inside extends Omit<Parts, 'options'> {
  readonly options?: readonly unknown[];
  readonly pipe?: readonly { readonly type: string; readonly requirement?: number }[];
}

export function descriptionOf(schema: Schema<unknown>): string {
  return v.getDescription(schema) ?? '';
}
