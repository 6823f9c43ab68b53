import type { JobSummary, ScheduleSummary } from '../../operations/results.ts';
import type { JobDialog } from '../state/dialog-model.ts';
import { stateText, workText } from '../widgets/job-words.ts';
import type { Model } from '../state/model.ts';
import { columns, fitted, type Line, line, wrapped } from '../terminal/screen.ts';
import { listBody, MONTH_AT, pagedBody } from './view-lists.ts';
import { logLines, logRows } from '../widgets/view-log.ts';
import { notKnown } from '../widgets/view-status.ts';
import { utc } from '../terminal/words.ts';

const JOB_WIDTHS = [11, 8, 26];

export function jobsBody(model: Model): readonly Line[] {
  return pagedBody(model, model.jobs, {
    heading: columns(['MADE (UTC)', 'STATE', 'WHAT', 'HOW IT IS'], JOB_WIDTHS),
    none: 'No jobs yet: n starts one.',
    note: '',
    text: (it: JobSummary) =>
      columns([utc(it.created).slice(MONTH_AT), it.state, workText(it), stateText(it)], JOB_WIDTHS),
  });
}

export function schedulesBody(model: Model): readonly Line[] {
  const widths = [15, 11, 20, 14];
  return listBody(model, {
    known: model.schedules,
    heading: columns(['SCHEDULE', 'NEXT (UTC)', 'LAST (UTC)', 'WHEN', 'WHAT'], widths),
    none: 'No schedules: n makes one.',
    text: (it: ScheduleSummary) => {
      const never = it.adopted ? 'never again' : 'not adopted';
      const next = it.next === null ? never : utc(it.next).slice(MONTH_AT);
      const last =
        it.last === null ? '-' : `${utc(it.last.ended).slice(MONTH_AT)} ${it.last.state}`;
      return columns([it.schedule, next, last, it.at, workText(it)], widths);
    },
  });
}

/** A job with the end of its log. */
export function jobDialogBody({ job, shown, log }: JobDialog, model: Model): readonly Line[] {
  const width = model.size.columns - 3;
  return [
    line(` Job ${job}`, 'strong'),
    ...(shown.kind === 'known' ? factLines(shown.value, width) : [notKnown(shown)]),
    [],
    ...logLines(log, logRows(model)),
  ];
}

const REASON_ROWS = 2;

function factLines(it: JobSummary, width: number): Line[] {
  const { state, schedule, created, started, ended, failures } = it;
  const times = [
    `created ${utc(created)}`,
    ...(started === null ? [] : [`begun ${utc(started)}`]),
    ...(ended === null ? [] : [`ended ${utc(ended)}`]),
  ].join('   ');
  const how = stateText(it);
  const [first = '', ...more] = wrapped(how, width - 12).slice(0, REASON_ROWS);
  const style = state === 'failed' ? 'bad' : 'plain';
  return [
    field('What', workText(it)),
    field('Made by', schedule === null ? 'somebody' : `schedule ${schedule}`),
    field('Times', `${times} (UTC)`),
    field('Attempts', failures === 0 ? 'none has failed' : `${failures} failed by themselves`),
    field('State', state),
    line(` ${fitted('', 10)} ${first}`, style),
    ...more.map((it) => line(` ${fitted('', 10)} ${it}`, style)),
  ];
}

function field(name: string, text: string): Line {
  return line(` ${fitted(name, 10)} ${text}`);
}
