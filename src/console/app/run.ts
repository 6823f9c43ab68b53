import { OperationFailure } from '../../operations/base/failure.ts';
import { askService } from '../../client/service-client.ts';
import { type Clock } from '../../sys/base/clock.ts';
import { type HttpServerPlace, placeName } from '../../sys/net/http-place.ts';
import { openRawTerminal, type RawTerminal } from '../../sys/terminal/raw-terminal.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { thisHost } from '../../sys/net/this-host.ts';
import { parseKeys } from '../terminal/keys.ts';
import {
  type Effect,
  type Event,
  firstModel,
  type Leaving,
  type ScreenName,
} from '../state/model.ts';
import type { Answer, Failure, Reported } from '../state/service.ts';
import { abilitiesOf, closing, type Frame, opening, render } from '../terminal/render.ts';
import { update } from './update.ts';
import { view } from './view.ts';

export interface ConsoleOptions {
  readonly service: HttpServerPlace;
  readonly clock: Clock;
  /** The kind of the terminal, from TERM. */
  readonly term: string;
  /** The locale, `de_DE.UTF-8`: it says which characters the terminal can show. */
  readonly locale: string;
  readonly leaving: Leaving;
  /** The screen to begin with. */
  readonly screen: ScreenName;
  /** Ends the console at once. */
  readonly signal: AbortSignal;
}

const TICK_MS = 1000;
/** An escape that nothing follows within this time was the key itself. A sequence takes 6 ms at 9,600 baud. */
const ESCAPE_MS = 100;

/** Shows the console on this process's terminal until the user leaves it. */
export async function runConsole(options: ConsoleOptions): Promise<void> {
  const { service, clock, term, locale, leaving, screen, signal } = options;
  const abilities = abilitiesOf(term, locale);
  const leave = new AbortController();
  const left = AbortSignal.any([leave.signal, signal]);
  const work = new Set<Promise<void>>();
  let frame: Frame | undefined;
  let drawing: Promise<void> | undefined;

  const typed = keysOf(clock, (key) => dispatch({ kind: 'key', key }), left);
  using terminal: RawTerminal = openRawTerminal(
    {
      onInput: typed,
      onResize: (size) => dispatch({ kind: 'resize', size }),
      onEnd: () => leave.abort(),
    },
    closing(abilities),
  );
  let model = firstModel({
    size: terminal.size(),
    socket: placeName(service),
    host: thisHost(),
    leaving,
    screen,
    nowMs: clock.monotonicMs(),
  });
  terminal.write(opening(abilities));

  function draw(): void {
    drawing = undefined;
    if (left.aborted) return;
    const drawn = render(frame, view(model), model.size, abilities);
    frame = drawn.frame;
    if (drawn.output !== '') terminal.write(drawn.output);
  }
  function dispatch(event: Event): void {
    const [next, effects] = update(model, event);
    model = next;
    for (const effect of effects) perform(effect);
    // Once for all events that arrive together.
    drawing ??= Promise.resolve().then(draw);
  }
  function perform(effect: Effect): void {
    switch (effect.kind) {
      case 'leave':
        return leave.abort();
      case 'redraw':
        frame = undefined;
        return;
      case 'ask': {
        const asked = ask(effect, { service, clock, dispatch, signal: left });
        const done = asked.finally(() => work.delete(done));
        work.add(done);
      }
    }
  }
  const tick = (): void =>
    dispatch({ kind: 'tick', nowMs: clock.monotonicMs(), time: clock.now().toISOString() });
  tick();
  while (!left.aborted) {
    await clock.sleep(TICK_MS, left).catch(() => {});
    if (!left.aborted) tick();
  }
  await Promise.all(work);
}

/** Calls back for each key. An escape counts as a key only if nothing follows it for a while. */
function keysOf(
  clock: Clock,
  onKey: (key: ReturnType<typeof parseKeys>['keys'][number]) => void,
  left: AbortSignal,
): (bytes: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = '';
  let turn = 0;
  function parsed(isAll: boolean): void {
    const found = parseKeys(rest, isAll);
    rest = found.rest;
    for (const key of found.keys) if (!left.aborted) onKey(key);
  }
  return (bytes) => {
    rest += decoder.decode(bytes, { stream: true });
    parsed(false);
    const mine = ++turn;
    if (rest === '') return;
    void clock.sleep(ESCAPE_MS, left).then(
      () => {
        if (mine === turn) parsed(true);
      },
      () => {},
    );
  };
}

interface AskOptions {
  readonly service: HttpServerPlace;
  readonly clock: Clock;
  readonly dispatch: (event: Event) => void;
  readonly signal: AbortSignal;
}

/** Calls an operation and reports the outcome. Never rejects: a failure is an event. */
async function ask(
  { id, call, secret, passkey }: Extract<Effect, { kind: 'ask' }>,
  { service, clock, dispatch, signal }: AskOptions,
): Promise<void> {
  const time = (): string => clock.now().toISOString();
  const report = (event: Reported): void => dispatch({ kind: 'report', id, event });
  let answer: Answer;
  try {
    const options = { secret, passkey, report, signal };
    const result = await askService(service, call.name, call.request, options);
    // The compiler does not see that a name belongs to its own result.
    answer = { ...call, result } as Answer;
  } catch (cause) {
    if (signal.aborted) return;
    dispatch({ kind: 'failed', id, failure: failureOf(cause), time: time() });
    return;
  }
  if (!signal.aborted) dispatch({ kind: 'answer', id, answer, time: time() });
}

/** Rethrows everything that is not a failure of the outside world: it is a bug. */
function failureOf(cause: unknown): Failure {
  if (cause instanceof OperationFailure) {
    const { kind, message, needsKeyOf, needsPasskeyOf } = cause;
    return { kind, message, needsKeyOf, needsPasskeyOf };
  }
  if (cause instanceof SystemError) return { kind: 'gone', message: cause.message };
  throw cause;
}
