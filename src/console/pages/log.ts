import type { Model } from '../state/model.ts';
import { columns } from '../terminal/screen.ts';
import { listBody } from '../widgets/list-body.ts';
import type { Page } from '../widgets/page.ts';

/** Needs no answer of the service: this page works without it. */
export const logPage: Page = {
  title: 'Log',
  keys: [],
  queries: [],
  list: { kind: 'rows', ids: ({ log }) => log.map((_, at) => `${at}`) },
  body: (model: Model) =>
    listBody(model, {
      known: { kind: 'known', value: model.log.toReversed(), atMs: 0 },
      heading: columns(['TIME (UTC)', 'DONE FROM THIS SCREEN, NEWEST FIRST'], [19]),
      none: 'Nothing has been done from this screen yet.',
      text({ time, text, isFailure }) {
        const words = `${isFailure ? 'FAILED ' : ''}${text}`;
        return columns([time.slice(0, 19).replace('T', ' '), words], [19]);
      },
    }),
};
