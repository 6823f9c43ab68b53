import type { StoreOperationName } from '../../operations/operations.ts';
import { bound, type Handlers } from '../base/call.ts';
import type { StoreContext } from './context.ts';

const marks = () => import('../points/marks.ts');

/** What people say of recovery points, and what keeps these. */
export type MarkName = Extract<
  StoreOperationName,
  `backup/${'note' | 'tag' | 'untag' | 'protect' | 'unprotect' | 'hold' | 'release' | 'lock'}`
>;

export function markHandlers(context: StoreContext): Handlers<MarkName> {
  return bound<StoreContext, MarkName>(context, {
    'backup/note': async ({ engine }, { point, text }, { secrets }) =>
      (await marks()).mark(await engine(), point, secrets, () => ({
        note: text === '' ? undefined : text,
      })),
    'backup/tag': async ({ engine }, { point, tag }, { secrets }) => {
      const { mark, tagged } = await marks();
      return mark(await engine(), point, secrets, (before) => tagged(before, tag));
    },
    'backup/untag': async ({ engine }, { point, tag }, { secrets }) => {
      const { mark, untagged } = await marks();
      return mark(await engine(), point, secrets, (before) => untagged(before, tag));
    },
    'backup/protect': async ({ engine }, { point }, { secrets }) =>
      (await marks()).keep(await engine(), point, secrets, () => ({ protected: true })),
    'backup/unprotect': async ({ engine }, { point }, { secrets }) =>
      (await marks()).mark(await engine(), point, secrets, () => ({ protected: false })),
    'backup/hold': async ({ engine }, { point, name }, { secrets }) => {
      const { held, keep } = await marks();
      const own = await engine();
      const now = own.store.clock.now();
      return keep(own, point, secrets, (before) => held(before, name, now));
    },
    'backup/release': async ({ engine }, { point, name }, { secrets }) => {
      const { mark, released } = await marks();
      return mark(await engine(), point, secrets, (before) => released(before, name));
    },
    'backup/lock': async ({ engine }, request, { secrets }) =>
      (await marks()).lockPoint(await engine(), request, secrets),
  });
}
