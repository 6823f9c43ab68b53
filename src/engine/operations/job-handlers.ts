import type { NameOf } from '../../operations/operations.ts';
import { bound, type Handlers } from '../base/call.ts';
import type { ServiceContext } from './context.ts';

// What is loaded only when it is wanted.
const jobs = () => import('../jobs/job-service.ts');

export type JobName = Extract<NameOf<'service'>, `job/${string}` | `schedule/${string}`>;

/** Jobs, and the schedules that make them. */
export function jobHandlers(context: ServiceContext): Handlers<JobName> {
  return bound<ServiceContext, JobName>(context, {
    'job/create': async (service, request, options) =>
      (await jobs()).createJob(await service.jobs(), await service.engine(), request, options),
    'job/unlock': async (service, { job }, options) =>
      (await jobs()).unlockJob(await service.jobs(), await service.engine(), job, options),
    'job/list': async (service, request) => (await jobs()).jobs(await service.jobs(), request),
    'job/show': async (service, { job }) => (await jobs()).showJob(await service.jobs(), job),
    'job/log': async (service, request) => (await jobs()).jobLog(await service.jobs(), request),
    'job/attend': async (service, { job }, options) =>
      (await jobs()).attendJob(await service.jobs(), job, options),
    'job/cancel': async (service, { job }) => (await jobs()).cancelJob(await service.jobs(), job),
    'schedule/create': async (service, request, options) =>
      (await jobs()).createSchedule(await service.jobs(), await service.engine(), request, options),
    'schedule/list': async (service) => (await jobs()).listSchedules(await service.jobs()),
    'schedule/run': async (service, { schedule }) => {
      const own = await service.jobs();
      const { id } = await own.schedules.run(schedule);
      return (await jobs()).showJob(own, id);
    },
    'schedule/change': async (service, { schedule, at }) =>
      (await jobs()).changeSchedule(await service.jobs(), (all) => all.change(schedule, at)),
    'schedule/pause': async (service, { schedule }) =>
      (await jobs()).changeSchedule(await service.jobs(), (all) => all.pause(schedule)),
    'schedule/resume': async (service, { schedule }) =>
      (await jobs()).changeSchedule(await service.jobs(), (all) => all.resume(schedule)),
    'schedule/remove': async (service, { schedule }) => {
      await (await jobs()).removeSchedule(await service.jobs(), schedule);
      return { schedule, removed: true };
    },
  });
}
