import type { ScheduleSummary } from '../../operations/nouns/job.ts';
import type { FormDialog } from '../state/dialog.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import { whole } from '../state/queries.ts';
import { columns } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { listBody, MONTH_AT } from '../widgets/list-body.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { key, keysFor, type Page } from '../widgets/page.ts';
import { textDialog } from '../widgets/scrolled.ts';
import { confirmation } from '../widgets/typed.ts';
import { type JobHints, jobQuestions, workText } from './jobs.ts';

const SCHEDULES = whole('schedules', 'schedule/list', {
  value: ({ schedules }) => schedules,
});

const WIDTHS = [15, 11, 20, 14];
const onSchedule = keysFor(({ schedules, chosen }) => chosenOf(schedules, chosen.schedules));

export const schedulesPage: Page = {
  title: 'Schedules',
  keys: [
    onSchedule('enter', 'show', (it) => textDialog(`Schedule ${it.schedule}`, detailsOf(it))),
    key('n', 'new', () => scheduleForm()),
    onSchedule('p', 'pause or resume', ({ schedule, paused }) => {
      const [verb, name] =
        paused === null
          ? (['pause', 'schedule/pause'] as const)
          : (['resume', 'schedule/resume'] as const);
      return { title: `${verb} schedule ${schedule}`, call: { name, request: { schedule } } };
    }),
    onSchedule('t', 'times', ({ schedule, at }) =>
      operationForm('schedule/change', {
        title: `Other times for schedule ${schedule}`,
        does: 'change them',
        given: { schedule },
        asks: ['at'],
        values: { at },
        task: () => `schedule ${schedule}`,
      }),
    ),
    onSchedule('d', 'remove', ({ schedule }) =>
      confirmation({
        title: `remove schedule ${schedule}`,
        question: `Schedule ${schedule} creates no further jobs. Its jobs and recovery points stay.`,
        word: 'remove',
        call: { name: 'schedule/remove', request: { schedule } },
      }),
    ),
  ],
  queries: [SCHEDULES],
  list: { kind: 'rows', ids: ({ schedules }) => idsOf(schedules, (it) => it.schedule) },
  body: (model) =>
    listBody(model, {
      known: model.schedules,
      heading: columns(['SCHEDULE', 'NEXT (UTC)', 'LAST (UTC)', 'WHEN', 'WHAT'], WIDTHS),
      none: 'No schedules: n creates a schedule.',
      text: scheduleText,
    }),
};

function scheduleText(it: ScheduleSummary): string {
  const next = it.next === null ? neverText(it) : utc(it.next).slice(MONTH_AT);
  const last = it.last === null ? '-' : `${utc(it.last.ended).slice(MONTH_AT)} ${it.last.state}`;
  return columns([it.schedule, next, last, it.at, workText(it)], WIDTHS);
}

function neverText({ adopted, paused }: ScheduleSummary): string {
  if (!adopted) return 'not adopted';
  return paused === null ? 'never again' : 'paused';
}

function detailsOf(it: ScheduleSummary): string {
  return [
    `what       ${workText(it)}`,
    `when       ${it.at}`,
    `next       ${it.next === null ? neverText(it) : `${utc(it.next)} UTC`}`,
    ...(it.paused === null ? [] : [`paused     since ${utc(it.paused)} UTC`]),
    `last       ${lastText(it)}`,
    `created    ${utc(it.created)} UTC`,
    '',
    ...JSON.stringify(it.request, undefined, 2).split('\n'),
  ].join('\n');
}

function lastText({ last }: ScheduleSummary): string {
  if (last === null) return 'none of its jobs has ended';
  const why = last.reason === null ? '' : `: ${last.reason}`;
  return `job ${last.job} ${last.state} at ${utc(last.ended)} UTC${why}`;
}

export function scheduleForm(hints: JobHints = {}): FormDialog {
  const job = jobQuestions(hints, 'job.');
  return operationForm('schedule/create', {
    title: 'A new schedule',
    does: 'create it',
    ...job,
    asks: ['schedule', 'at', ...job.asks],
    values: { at: 'daily', ...job.values },
    task: ({ schedule }) => `schedule ${schedule}`,
  });
}
