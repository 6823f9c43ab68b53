import type { FormDialog, FormField, Learned } from '../state/dialog.ts';
import type { Model, Query } from '../state/model.ts';
import { type AnswerOf, valueOf } from '../state/service.ts';

/*
 * What the service is asked while a form is shown, so that the form offers values: the machines, pools and networks of
 * a hypervisor, and the network cards of a recovery point. Where nothing is known, values are typed.
 */

/** Each answer is a connection to the hypervisor. */
const THERE_MS = 60_000;

export const THERE: Query = {
  call(model) {
    const hypervisor = hypervisorOf(model);
    if (hypervisor === undefined) return undefined;
    const request = { hypervisor, machine: undefined, check: false };
    return { name: 'hypervisor/machines', request };
  },
  isDue(model) {
    const it = shownForm(model)?.learned?.there;
    return it?.hypervisor !== hypervisorOf(model) || model.nowMs - it!.askedMs >= THERE_MS;
  },
  answered(model, answer) {
    const { result } = answer as unknown as AnswerOf<'hypervisor/machines'>;
    return withThere(model, { kind: 'known', value: result, atMs: model.nowMs });
  },
  refused: (model, message) => withThere(model, { kind: 'refused', message }),
};

/** Not one that is being typed. */
function hypervisorOf(model: Model): string | undefined {
  const form = shownForm(model);
  const name = form?.form.about?.(form.values).hypervisor;
  const known = valueOf(model.hypervisors)?.hypervisors ?? [];
  return known.some(({ hypervisor }) => hypervisor === name) ? name : undefined;
}

function withThere(model: Model, known: NonNullable<Learned['there']>['known']): Model {
  const hypervisor = hypervisorOf(model)!;
  return withLearned(model, { there: { hypervisor, known, askedMs: model.nowMs } });
}

export const POINT: Query = {
  call(model) {
    const point = pointOf(model);
    return point === undefined
      ? undefined
      : { name: 'backup/show', request: { point, definition: undefined } };
  },
  isDue: (model) => shownForm(model)?.learned?.point?.point !== pointOf(model),
  answered(model, answer) {
    const { result } = answer as unknown as AnswerOf<'backup/show'>;
    return withPoint(model, { kind: 'known', value: result, atMs: model.nowMs });
  },
  refused: (model, message) => withPoint(model, { kind: 'refused', message }),
};

/** `nightly/web1-20261121T180000Z-0000ab`; an ID that is being typed has no such end. */
const WHOLE = /^[^/]+\/.+-\d{8}T\d{6}Z-[0-9a-f]+$/;

function pointOf(model: Model): string | undefined {
  const form = shownForm(model);
  const point = form?.form.about?.(form.values).point;
  return point !== undefined && WHOLE.test(point) ? point : undefined;
}

function withPoint(model: Model, known: NonNullable<Learned['point']>['known']): Model {
  return withLearned(model, { point: { point: pointOf(model)!, known } });
}

function shownForm({ dialog }: Model): FormDialog | undefined {
  return dialog?.kind === 'form' ? dialog : undefined;
}

function withLearned(model: Model, more: Learned): Model {
  const form = shownForm(model);
  if (!form) return model;
  return { ...model, dialog: { ...form, learned: { ...form.learned, ...more } } };
}

type Offers = NonNullable<FormField['offers']>;

function placesOf({ there }: Learned) {
  return there && valueOf(there.known)?.places;
}

export const offeredPools: Offers = (_values, learned) =>
  placesOf(learned)?.pools.map(({ pool }) => pool) ?? [];

export const offeredMachines: Offers = (_values, { there }) =>
  (there && valueOf(there.known)?.machines.map(({ machine }) => machine)) ?? [];

/** The disks of the recovery point. */
export const offeredDisks: Offers = (_values, { point }) =>
  (point && valueOf(point.known)?.disks.map(({ name }) => name)) ?? [];

/** The newest ones of the machines that are there. */
export const offeredPoints: Offers = (_values, { there }) =>
  ((there && valueOf(there.known)?.machines) ?? []).flatMap(({ last }) =>
    last ? [`${last.set}/${last.point}`] : [],
  );

/** Machines whose guests can be asked for something. */
export const offeredGuests: Offers = (_values, { there }) =>
  ((there && valueOf(there.known)?.machines) ?? [])
    .filter(({ power }) => power === 'on')
    .map(({ machine }) => machine);

/** Each network of its cards with each one there; a card is named by its address if it was in none. */
export const offeredNetworks: Offers = (_values, learned) => {
  const { point } = learned;
  const nics = (point && valueOf(point.known)?.description?.nics) ?? [];
  const there = placesOf(learned)?.networks ?? [];
  const cards = new Set(nics.map(({ network, mac }) => network || mac));
  return [...cards].flatMap((old) =>
    [...there.filter((it) => it !== old), 'none'].map((it) => `${old}=${it}`),
  );
};
