import { type Fields, object, parts, type Schema } from '../../lib/schema.ts';

/**
 * Which process carries an operation out. "store": the service, or, where none runs, any process that may open the
 * store; "worker": the same, but the service leaves it to a process of its own, since it takes long; "service": only
 * the service; "hostd" and "filesd": small services with root's rights.
 */
export type Runs = 'store' | 'worker' | 'service' | 'hostd' | 'filesd';

/**
 * One thing that Holdfast does on request, declared once: validation, permission, the OpenAPI description, commands,
 * help, completion and the manual page are derived from it.
 */
export interface Operation<
  N extends string = string,
  W extends Runs = Runs,
  Q = unknown,
  R = unknown,
> extends Facts<W> {
  /** `session/list` is `POST /v1/session/list`. */
  readonly name: N;
  /** Whether it changes something. */
  readonly access: 'view' | 'change';
  readonly request: Schema<Q>;
  readonly result: Schema<R>;
  /** Nouns of which it changes something: queries that show them may answer differently afterwards. */
  readonly changes: readonly string[];
  /** Nouns that a query shows: it is asked again after a change of one of them. */
  readonly shows: readonly string[];
}

interface Facts<W extends Runs> {
  /** An imperative, without a full stop. */
  readonly summary: string;
  /** Sentences that a person should read before. */
  readonly description?: string;
  readonly runs: W;
  /**
   * A passphrase or recovery key may come with it, as `secret`. `opens`: it opens a set, and is requested where it is
   * needed; `given`: the same, but without one the operation does as much as it can; `new`: it becomes a passphrase.
   */
  readonly key?: 'opens' | 'given' | 'new';
  /** The key has to come with the request: the one that the service has does not count. */
  readonly keyOf?: 'a person';
  /**
   * Whether a person who asks for it has to give the passkey of a set that has one, as `passkey`: for all that shows
   * or writes out what guests' disks hold. What the service does by itself needs none.
   */
  readonly passkey?: AskedPasskey;
  /** Set if it changes something, and is nevertheless allowed while the lockdown is on. */
  readonly lockdown?: 'allowed' | AllowedBut;
  /** Denied to requests from other hosts, with the reason. */
  readonly remote?: { readonly denied: string };
  /** Fields of a query that only who may change things may set: what they ask for may be secret. */
  readonly guarded?: readonly string[];
  /** Fields of the request that are secrets: the audit log omits them. */
  readonly hidden?: readonly string[];
  /** Set if it can be a job: there is `--queue`, and `job/create` and schedules accept it. */
  readonly job?: JobSpec;
  /** Undefined: no command is derived from it. */
  readonly cli?: CliSpec;
}

/** Unless one of these fields of the request has that value. */
interface AllowedBut {
  readonly refused: Readonly<Record<string, string>>;
}

/**
 * `as its job`: as for the operation that the job carries out. `for what is guarded`: only where a request sets one of
 * the guarded fields.
 */
export type AskedPasskey = 'asked' | 'not asked' | 'for what is guarded' | 'as its job';

/** Whether this request needs the passkey, of an operation that is not carried out as a job. */
export function needsPasskey({ passkey, guarded = [] }: Operation, request: object): boolean {
  if (passkey === 'asked') return true;
  if (passkey !== 'for what is guarded') return false;
  return guarded.some((field) => (request as Readonly<Record<string, unknown>>)[field]);
}

export interface JobSpec {
  readonly kind: string;
  /** Fields of a job besides those of the request. */
  readonly also?: Fields;
}

/** The request of an operation as a job. */
export function asJob({ request, job }: Operation): Schema<unknown> {
  return job?.also ? object({ ...parts(request).entries, ...job.also }) : request;
}

/** How a command differs from the rule that each field is an option of the same name. */
export interface CliSpec {
  /** Fields that are arguments, in their order; the last one may be a list. */
  readonly args?: readonly string[];
  readonly options?: Readonly<Record<string, OptionSpec>>;
  /** Sentences about the command, not about the operation. */
  readonly notes?: string;
  /**
   * The text of the result for people: `{session}` stands for the field of that name. For more than a sentence, there
   * is a text in `cli/render` instead.
   */
  readonly says?: string;
  /** Command lines, without the program's name. */
  readonly examples: readonly [string, ...string[]];
}

export interface OptionSpec {
  /** Without dashes; default: the field's name. */
  readonly name?: string;
  /** How a person writes the value: `4h`; `vda=/images/vm.qcow2`. */
  readonly form?: 'duration' | 'name=where';
  /** The fields of the object become options of their own, with this prefix. */
  readonly spread?: string;
  /** Not an option of the command line. */
  readonly hidden?: true;
}

type Spec<W extends Runs, Q, R> = Facts<W> & {
  readonly request: Schema<Q>;
  readonly result: Schema<R>;
} & (
    | { readonly key?: 'given' | 'new' }
    // An operation that opens a set says it in any case: none is forgotten.
    | { readonly key: 'opens'; readonly passkey: AskedPasskey }
  );

/** Declares an operation that changes nothing. `shows`: default: its own noun. */
export function query<const N extends string, const W extends Runs, Q, R>(
  name: N,
  spec: Spec<W, Q, R> & { readonly shows?: readonly string[] },
): Operation<N, W, Q, R> & { readonly access: 'view' } {
  return { name, access: 'view', changes: [], shows: [name.split('/')[0]!], ...spec };
}

/** Declares an operation that may change something. `changes`: empty where no query shows what it does. */
export function mutation<
  const N extends string,
  const W extends Runs,
  Q,
  R,
  const J extends JobSpec | undefined = undefined,
>(
  name: N,
  spec: Spec<W, Q, R> & { readonly changes: readonly string[]; readonly job?: J },
): Mutation<N, W, Q, R, J> {
  // The compiler does not see that "job" exists exactly if J says so.
  return { name, access: 'change', shows: [], ...spec } as unknown as Mutation<N, W, Q, R, J>;
}

type Mutation<N extends string, W extends Runs, Q, R, J> = Operation<N, W, Q, R> & {
  readonly access: 'change';
} & (J extends JobSpec ? { readonly job: J } : unknown);
