import { field, object, variants } from '../lib/schema.ts';
import { backupJob, restoreRequest } from './backup.ts';
import { line, name } from './fields.ts';
import { jobSummary, REQUEST, scheduleSummary } from './job.ts';
import { mutation } from './operation.ts';
import { keepRequest } from './session.ts';
import { checkRequest } from './store.ts';

/* Operations that can run in the background: now, or at certain times. */

export const jobRequest = variants(
  'kind',
  {
    backup: { request: field(backupJob, REQUEST) },
    check: { request: field(checkRequest, REQUEST) },
    keep: { request: field(keepRequest, REQUEST) },
    restore: { request: field(restoreRequest, REQUEST) },
  },
  'backup: create a recovery point; check: look for damage; keep: save a session; restore: write a disk',
);

const create = mutation('job/create', {
  summary: 'Run an operation in the background, even if it takes days',
  runs: 'service',
  key: 'opens',
  request: jobRequest,
  result: jobSummary,
});

const createSchedule = mutation('schedule/create', {
  summary: 'Back up or check at certain times',
  description:
    'What came due while no service ran is made up for once. While the last job has not ended, no new one is created.',
  runs: 'service',
  key: 'opens',
  request: object({
    schedule: field(name, 'name of the schedule', { placeholder: 'NAME', label: 'Name' }),
    at: field(
      line(256),
      "when: daily, hourly, 'Mon..Fri 02:30', '*-*-01 04:00'; see systemd.time(7)",
      { placeholder: 'WHEN', label: 'When' },
    ),
    job: field(jobRequest, 'what to do'),
  }),
  result: scheduleSummary,
});

export const operations = [create, createSchedule] as const;
