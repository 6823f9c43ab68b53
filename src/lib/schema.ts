/*
 * What a JSON value from outside may be: checked once at the door, trusted inside. The same description
 * gives the JSON Schema that others read, so that the two cannot differ. What was found is named by its
 * kind only: it may be a secret.
 */
export interface Schema<T> {
  /** The value as a T; throws SchemaError. */
  parse(value: unknown, at: Path): T;
  readonly json: JsonSchema;
  /** Whether an object may go without it. */
  readonly optional: boolean;
}

export type Of<S> = S extends Schema<infer T> ? T : never;

export type Path = readonly (string | number)[];

export type JsonSchema = Readonly<Record<string, unknown>>;

export class SchemaError extends Error {
  override readonly name = 'SchemaError';
  readonly at: Path;
  constructor(at: Path, message: string) {
    super(at.length > 0 ? `${at.join('.')}: ${message}` : message);
    this.at = at;
  }
}

function required<T>(json: JsonSchema, parse: Schema<T>['parse']): Schema<T> {
  return { json, parse, optional: false };
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
  /** What the pattern means, for people. */
  readonly words?: string;
}): Schema<string> {
  const json = {
    ...{ type: 'string', minLength: min, maxLength: max },
    ...(pattern && { pattern: pattern.source }),
  };
  return required(json, (value, at) => {
    if (typeof value !== 'string') throw new SchemaError(at, `a text, not ${kindOf(value)}`);
    if (value.length < min || value.length > max) {
      throw new SchemaError(at, `a text of ${min} to ${max} characters, not ${value.length}`);
    }
    if (pattern && !pattern.test(value)) {
      throw new SchemaError(at, `not ${words ?? `what ${pattern.source} allows`}`);
    }
    return value;
  });
}

export function integer(minimum: number, maximum: number): Schema<number> {
  return required({ type: 'integer', minimum, maximum }, (value, at) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      throw new SchemaError(at, `a whole number, not ${kindOf(value)}`);
    }
    if (value < minimum || value > maximum) {
      throw new SchemaError(at, `a number from ${minimum} to ${maximum}, not ${value}`);
    }
    return value;
  });
}

export function flag(): Schema<boolean> {
  return required({ type: 'boolean' }, (value, at) => {
    if (typeof value === 'boolean') return value;
    throw new SchemaError(at, `true or false, not ${kindOf(value)}`);
  });
}

export function oneOf<const T extends string>(...values: readonly T[]): Schema<T> {
  return required({ type: 'string', enum: values }, (value, at) => {
    const found = values.find((it) => it === value);
    if (found !== undefined) return found;
    throw new SchemaError(at, `one of ${values.join(', ')}`);
  });
}

export function list<T>(items: Schema<T>, maxItems: number, minItems = 0): Schema<readonly T[]> {
  const json = { type: 'array', items: items.json, minItems, maxItems };
  return required(json, (value, at) => {
    if (!Array.isArray(value)) throw new SchemaError(at, `a list, not ${kindOf(value)}`);
    if (value.length < minItems || value.length > maxItems) {
      throw new SchemaError(at, `a list of ${minItems} to ${maxItems}, not ${value.length}`);
    }
    return value.map((item, index) => items.parse(item, [...at, index]));
  });
}

/** An object whose names are free. */
export function record<T>(
  values: Schema<T>,
  maxProperties: number,
): Schema<Readonly<Record<string, T>>> {
  const json = { type: 'object', additionalProperties: values.json, maxProperties };
  return required(json, (value, at) => {
    const entries = Object.entries(objectOf(value, at));
    if (entries.length > maxProperties) {
      throw new SchemaError(at, `at most ${maxProperties} fields, not ${entries.length}`);
    }
    return Object.fromEntries(
      entries.map(([name, it]) => [name, values.parse(it, [...at, name])] as const),
    );
  });
}

/** Any object, of at most `max` characters as JSON: for whoever knows more about it to check. */
export function anyObject(max: number): Schema<JsonObject> {
  return required({ type: 'object' }, (value, at) => {
    const found = objectOf(value, at);
    if (JSON.stringify(found).length > max) throw new SchemaError(at, 'an object that is shorter');
    return found;
  });
}

export type JsonObject = Readonly<Record<string, unknown>>;

type Fields = Readonly<Record<string, Schema<unknown>>>;

/** An object of exactly these fields. */
export function object<const F extends Fields>(
  fields: F,
): Schema<{ readonly [K in keyof F]: Of<F[K]> }> {
  const names = Object.keys(fields);
  const json = {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, fields[name]!.json])),
    required: names.filter((name) => !fields[name]!.optional),
    additionalProperties: false,
  };
  return required(json, (value, at) => {
    const given = objectOf(value, at);
    const unknown = Object.keys(given).find((name) => !Object.hasOwn(fields, name));
    if (unknown !== undefined) {
      const known = names.length > 0 ? `one of ${names.join(', ')}` : 'nothing';
      throw new SchemaError([...at, unknown], `there is no such field, but ${known}`);
    }
    const found = names.map((name) => {
      const path = [...at, name];
      const it = Object.hasOwn(given, name) ? given[name] : undefined;
      if (it === undefined && !fields[name]!.optional) throw new SchemaError(path, 'is missing');
      return [name, fields[name]!.parse(it, path)] as const;
    });
    return Object.fromEntries(found) as { readonly [K in keyof F]: Of<F[K]> };
  });
}

/** Objects that are told apart by the text in `tag`. */
export function variants<const F extends Readonly<Record<string, Fields>>, const T extends string>(
  tag: T,
  kinds: F,
): Schema<
  {
    [K in keyof F & string]: { readonly [P in T]: K } & {
      readonly [N in keyof F[K]]: Of<F[K][N]>;
    };
  }[keyof F & string]
> {
  const schemas = new Map(
    Object.entries(kinds).map(([kind, fields]) => [
      kind,
      object({ [tag]: oneOf(kind), ...fields }),
    ]),
  );
  const json = { oneOf: [...schemas.values()].map((schema) => schema.json) };
  return required(json, (value, at) => {
    const kind = objectOf(value, at)[tag];
    const schema = typeof kind === 'string' ? schemas.get(kind) : undefined;
    if (!schema) throw new SchemaError([...at, tag], `one of ${[...schemas.keys()].join(', ')}`);
    return schema.parse(value, at) as never;
  });
}

export function optional<T>(schema: Schema<T>): Schema<T | undefined> {
  const { json } = schema;
  return {
    json,
    optional: true,
    parse: (value, at) => (value === undefined ? undefined : schema.parse(value, at)),
  };
}

export function withDefault<T>(schema: Schema<T>, value: T): Schema<T> {
  return {
    json: { ...schema.json, default: value },
    optional: true,
    parse: (given, at) => (given === undefined ? value : schema.parse(given, at)),
  };
}

export function nullable<T>(schema: Schema<T>): Schema<T | null> {
  return required({ anyOf: [schema.json, { type: 'null' }] }, (value, at) =>
    value === null ? null : schema.parse(value, at),
  );
}

function objectOf(value: unknown, at: Path): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new SchemaError(at, `an object, not ${kindOf(value)}`);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'string') return 'a text';
  return typeof value === 'boolean' ? 'true or false' : `a ${typeof value}`;
}
