import type { AlarmSummary } from '../../operations/nouns/alarm.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import { whole } from '../state/queries.ts';
import { columns } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { listBody, MONTH_AT } from '../widgets/list-body.ts';
import { keysFor, type Outcome, type Page } from '../widgets/page.ts';
import { textDialog } from '../widgets/scrolled.ts';
import { confirmation } from '../widgets/typed.ts';

/** Alarms that have not ended. */
export const ALARMS = whole('standing', 'alarm/list', {
  request: { all: false },
  everyMs: 5000,
  value: ({ alarms }) => alarms,
});

const WIDTHS = [11, 8, 4];
const onAlarm = keysFor(({ standing, chosen }) => chosenOf(standing, chosen.alarms));

/** Open alarms, including acknowledged ones. */
export const alarmsPage: Page = {
  title: 'Alarms',
  keys: [
    onAlarm('enter', 'show', (it) => textDialog(`Alarm ${it.alarm}`, detailsOf(it))),
    onAlarm('a', 'acknowledge', acknowledge),
  ],
  queries: [ALARMS],
  list: { kind: 'rows', ids: ({ standing }) => idsOf(standing, (it) => it.alarm) },
  body: (model) =>
    listBody(model, {
      known: model.standing,
      heading: columns(['SINCE (UTC)', 'LEVEL', 'SEEN', 'WHAT'], WIDTHS),
      none: 'No alarms.',
      text: ({ raised, level, acknowledged, message }) => {
        const seen = acknowledged === null ? '' : 'yes';
        return columns([utc(raised).slice(MONTH_AT), level, seen, message], WIDTHS);
      },
    }),
};

function detailsOf({ level, message, times, raised, acknowledged }: AlarmSummary): string {
  const seen =
    acknowledged === null ? '-' : `${utc(acknowledged.time)} UTC, by user ${acknowledged.uid}`;
  return [
    message,
    '',
    `level         ${level}`,
    `raised        ${utc(raised)} UTC, ${times === 1 ? 'once' : `${times} times`}`,
    `acknowledged  ${seen}`,
  ].join('\n');
}

function acknowledge({ alarm, message, acknowledged }: AlarmSummary): Outcome {
  if (acknowledged !== null) return 'It has been acknowledged already.';
  return confirmation({
    title: `acknowledge ${alarm}`,
    question: `${message}\n\nYou take care of it: it is not reported again until something changes.`,
    word: 'seen',
    call: { name: 'alarm/acknowledge', request: { alarm } },
  });
}
