type Environment = Readonly<Record<string, string | undefined>>;

/** The first that systemd hands on (sd_listen_fds(3)). */
const FIRST = 3;
/** Of what a unit of ours hands on: a few sockets. */
const COUNT_MAX = 64;

/**
 * What systemd opened for this process, by its name in the units (`FileDescriptorName=`, `OpenFile=`). By name only:
 * the order of sockets is another one after each start. A unit may have several.
 */
export function inheritedDescriptors(
  environment: Environment,
): ReadonlyMap<string, readonly number[]> {
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: names = '' } = environment;
  const found = new Map<string, number[]>();
  // Meant for the process that systemd started, not for those that it starts.
  if (pid !== String(process.pid)) return found;
  for (const [at, name] of names.split(':').entries()) {
    if (at >= Math.min(Number(count), COUNT_MAX)) break;
    found.set(name, [...(found.get(name) ?? []), FIRST + at]);
  }
  return found;
}
