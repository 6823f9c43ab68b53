import { assert } from '../../lib/assert.ts';
import {
  descriptionOf,
  hintsOf,
  type Parts,
  parse,
  parts,
  type Schema,
  SchemaError,
} from '../../lib/schema.ts';
import { OPERATIONS, type OperationName, type RequestOf } from '../../operations/operations.ts';
import type { Dialog, Form, FormDialog, FormField, FormValues } from '../state/dialog.ts';
import type { Call, Work } from '../state/service.ts';

/*
 * A form from an operation's declaration: labels, descriptions, offered and initial values, and limits of its fields.
 * A form names the fields that it asks for by their place in the request (`whenFull`, `nfs.allow`). Of variants, the
 * field that names the kind comes first (`tls.kind`); of an optional object the object itself (`nfs`), as yes or no.
 */
export interface OperationForm<N extends OperationName> {
  readonly title: string;
  /** What Enter does, for the bottom line. */
  readonly does: string;
  /** The fields, in order. */
  readonly asks: readonly string[];
  /** The row to begin with. */
  readonly field?: number;
  /** The part of the request that is known in advance. */
  readonly given?: Unchecked;
  /** Initial values of fields, instead of their defaults. */
  readonly values?: FormValues;
  /** Further properties of fields. Fields that the request does not have are for `made`. */
  readonly fields?: Readonly<Record<string, Partial<FormField>>>;
  /** The values behind the choices of a field, if it offers other words: `4 hours`. */
  readonly meanings?: Readonly<Record<string, Unchecked>>;
  /** Leaves unchanged fields out of the request; an emptied field counts as changed. */
  readonly onlyChanged?: true;
  /** Returns the request, which is then checked, or a sentence that says what is wrong. */
  readonly made?: (request: Unchecked, values: FormValues) => Unchecked | string;
  /** The title of the task, for the log. */
  readonly task: (request: RequestOf<N>) => string;
  readonly turned?: Form['turned'];
  readonly about?: Form['about'];
  /** A question to the user, or to the service, before the request is sent; undefined: none. */
  readonly before?: (request: RequestOf<N>) => Dialog | Work | undefined;
}

type Unchecked = Readonly<Record<string, unknown>>;

export function operationForm<N extends OperationName>(
  name: N,
  form: OperationForm<N>,
): FormDialog {
  const { title, does, asks, field = 0, task, before, made = (request) => request } = form;
  const { turned, about } = form;
  const rows = asks.map((path) => rowOf(name, path, form));
  const first = Object.fromEntries(rows.map((row) => [row.field.name, row.first]));
  const values = { ...first, ...form.values };
  const submit: Form['submit'] = (typed) => {
    try {
      const asked = made(requestOf(rows, { typed, values, form }), typed);
      if (typeof asked === 'string') return asked;
      const request = parse<unknown>(OPERATIONS[name].request, asked) as RequestOf<N>;
      const first = before?.(request);
      // The compiler does not see that a name belongs to its own request.
      return first ?? { title: task(request), call: { name, request } as Call };
    } catch (cause) {
      if (cause instanceof SchemaError) return sentenceOf(cause, rows);
      throw cause;
    }
  };
  const fields = rows.map((row) => row.field);
  const own = { does, fields, submit, ...(turned && { turned }), ...(about && { about }) };
  return { kind: 'form', title, form: own, field, values, problem: '' };
}

interface Row extends Value {
  readonly field: FormField;
  readonly path: readonly string[];
}

function rowOf(operation: OperationName, name: string, { fields, meanings, given }: Hints): Row {
  const path = name.split('.');
  const place = placeOf(OPERATIONS[operation].request, path, { above: [], given });
  const own = fields?.[name];
  assert(place !== undefined || own !== undefined, `${operation} has no field "${name}"`);
  const meant = meanings?.[name];
  const value = meant ? meaning(meant) : place ? valueOf(place, path) : NOT_SENT;
  const choices = own?.choices ?? value.choices;
  const field = {
    name,
    label: (place && hintsOf(place.schema).label) ?? sentenceCase(path.at(-1)!),
    note: `${place?.note ?? ''}${value.several ?? ''}`,
    ...(place && { matters: place.matters }),
    ...(value.isList && { isList: true }),
    ...own,
    ...(choices && { choices }),
  };
  return { ...value, field, path };
}

type Hints = Pick<OperationForm<never>, 'fields' | 'given' | 'meanings'>;

/** How a value is typed or chosen, and read. */
interface Value {
  readonly choices?: readonly string[];
  readonly first: string;
  /** Undefined: the field is left out of the request. Throws SchemaError. */
  readonly read: (text: string) => unknown;
  /** The value of a field that was emptied, if that is a change. */
  readonly empty?: unknown;
  readonly isList?: true;
  /** How several values are typed; follows the field's description. */
  readonly several?: string;
}

const NOT_SENT: Value = { first: '', read: () => undefined };

function meaning(meant: Unchecked): Value {
  const choices = Object.keys(meant);
  return { choices, first: choices[0]!, read: (text) => meant[text] };
}

interface Place {
  readonly schema: Schema<unknown>;
  readonly note: string;
  /** Whether it is the field that names the kind; `schema` is that of all variants. */
  readonly isTag: boolean;
  readonly matters: (values: FormValues) => boolean;
}

/** Undefined: the schema has no such field. */
function placeOf(
  schema: Schema<unknown>,
  [name, ...rest]: readonly string[],
  { above, given }: { readonly above: readonly string[]; readonly given: Unchecked | undefined },
): Place | undefined {
  const always = { schema, matters: () => true };
  if (name === undefined) return { ...always, note: descriptionOf(schema), isTag: false };
  const { entries, options, key: tag } = bare(schema);
  if (options && name === tag) {
    const note = descriptionOf(bare(options[0]!).entries![tag]!);
    return { ...always, note, isTag: true };
  }
  if (options) {
    const found = options.flatMap((option) => {
      const kind = kindOf(option, tag!);
      const place = placeOf(option, [name, ...rest], { above, given });
      return place && kind === (given?.[tag!] ?? kind) ? [{ place, kind }] : [];
    });
    const kinds = found.map(({ kind }) => kind);
    const chosen = [...above, tag].join('.');
    return (
      found[0] && {
        ...found[0].place,
        matters: (values) => kinds.includes(values[chosen] ?? kinds[0]!),
      }
    );
  }
  const here = [...above, name];
  const inside = given?.[name] as Unchecked | undefined;
  const place = entries?.[name] && placeOf(entries[name], rest, { above: here, given: inside });
  if (!place || rest.length === 0) return place;
  const isThere = (values: FormValues): boolean => (values[here.join('.')] ?? 'yes') === 'yes';
  return { ...place, matters: (values) => isThere(values) && place.matters(values) };
}

/** The schema without `optional`, default and `null`. */
function bare(schema: Schema<unknown>): Parts {
  const it = parts(schema);
  return it.wrapped ? bare(it.wrapped) : it;
}

function kindOf(option: Schema<unknown>, tag: string): string {
  return bare(bare(option).entries![tag]!).choices![0]!;
}

const YES_NO = ['no', 'yes'];

function valueOf({ schema, isTag }: Place, path: readonly string[]): Value {
  const { type, default: standard } = parts(schema);
  const { choices, entries, options, item, ...it } = bare(schema);
  if (isTag) {
    const kinds = options!.map((option) => kindOf(option, it.key!));
    const all = type === 'optional' ? ['no', ...kinds] : kinds;
    return { choices: all, first: all[0]!, read: (text) => (text === 'no' ? undefined : text) };
  }
  if (entries) {
    return { choices: YES_NO, first: 'no', read: (text) => (text === 'yes' ? {} : undefined) };
  }
  if (it.type === 'boolean') {
    return { choices: YES_NO, first: standard ? 'yes' : 'no', read: (text) => text === 'yes' };
  }
  if (choices) {
    const first = typeof standard === 'string' ? standard : choices[0]!;
    const others = choices.filter((choice) => choice !== first);
    return { choices: [first, ...others], first, read: (text) => text };
  }
  if (item) {
    const pair = Object.keys(bare(item).entries ?? {});
    const what = hintsOf(schema).placeholder ?? pair.join('=');
    if (pair.length === 0) {
      const several = '; several: with spaces between them';
      return { first: '', read: listed, empty: [], several };
    }
    const read = (text: string): unknown =>
      text.split(/,\s*/).map((it) => pairOf(it, pair, { what, path }));
    return { first: '', read, empty: [], several: `; as ${what}, ${what}`, isList: true };
  }
  const isNumber = it.type === 'number';
  const read = (text: string): unknown => (isNumber && /^\d+$/.test(text) ? Number(text) : text);
  return { first: '', read, empty: '' };
}

/** `vda=/images/web1.qcow2` */
function pairOf(
  text: string,
  [name = '', value = '']: readonly string[],
  { what, path }: { what: string; path: readonly string[] },
): Unchecked {
  const at = text.indexOf('=');
  const [before, behind] = [text.slice(0, Math.max(0, at)).trim(), text.slice(at + 1).trim()];
  if (before === '' || behind === '') throw new SchemaError(path, `"${text}" is not ${what}`);
  return { [name]: before, [value]: behind };
}

/** Words separated by commas or spaces. */
function listed(text: string): string[] {
  return text.split(/[\s,]+/).filter((it) => it !== '');
}

function requestOf(
  rows: readonly Row[],
  {
    typed,
    values,
    form: { given = {}, onlyChanged },
  }: { typed: FormValues; values: FormValues; form: OperationForm<never> },
): Unchecked {
  let request = given;
  for (const { field, path, read, empty } of rows) {
    const text = typed[field.name]!.trim();
    if (!(field.matters?.(typed) ?? true) || (onlyChanged && text === values[field.name])) continue;
    const value = text === '' ? (onlyChanged ? empty : undefined) : read(text);
    if (value !== undefined) request = withField(request, path, value);
  }
  return request;
}

function withField(
  request: Unchecked,
  [name = '', ...rest]: readonly string[],
  value: unknown,
): Unchecked {
  const inner = (request[name] ?? {}) as Unchecked;
  return { ...request, [name]: rest.length === 0 ? value : withField(inner, rest, value) };
}

/** The error as a sentence, with the label of the field that is wrong. */
function sentenceOf({ at, reason, message }: SchemaError, rows: readonly Row[]): string {
  const [row] = rows
    .filter(({ path }) => path.every((name, index) => at[index] === name))
    .toSorted((a, b) => b.path.length - a.path.length);
  if (!row) return `${message}.`;
  const { label } = row.field;
  return reason === 'is missing' ? `${label} is missing.` : `${label}: ${reason}.`;
}

/** `When full` of `whenFull`. */
function sentenceCase(name: string): string {
  const words = name.replaceAll(/[A-Z]/g, (it) => ` ${it.toLowerCase()}`);
  return `${words[0]!.toUpperCase()}${words.slice(1)}`;
}
