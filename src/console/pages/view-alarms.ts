import type { AlarmSummary } from '../../operations/results.ts';
import type { Model } from '../state/model.ts';
import { columns, type Line } from '../terminal/screen.ts';
import { listBody, MONTH_AT } from './view-lists.ts';
import { utc } from '../terminal/words.ts';

const WIDTHS = [11, 8, 4];

/** What is not over, also what somebody takes care of. */
export function alarmsBody(model: Model): readonly Line[] {
  return listBody(model, {
    known: model.standing,
    heading: columns(['SINCE (UTC)', 'LEVEL', 'SEEN', 'WHAT'], WIDTHS),
    none: 'No alarms.',
    text: ({ raised, level, acknowledged, message }: AlarmSummary) => {
      const seen = acknowledged === null ? '' : 'yes';
      return columns([utc(raised).slice(MONTH_AT), level, seen, message], WIDTHS);
    },
  });
}
