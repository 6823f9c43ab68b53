type Environment = Readonly<Record<string, string | undefined>>;

/** The first descriptor that systemd passes on (sd_listen_fds(3)). */
const FIRST = 3;
/** A unit of ours passes on only a few sockets. */
const COUNT_MAX = 64;

/**
 * Descriptors that systemd opened for this process, by their names in the units (`FileDescriptorName=`, `OpenFile=`).
 * By name only: the order of sockets differs after each start. A unit may have several.
 */
export function inheritedDescriptors(
  environment: Environment,
): ReadonlyMap<string, readonly number[]> {
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: names = '' } = environment;
  const found = new Map<string, number[]>();
  // The descriptors are meant for the process that systemd started, not for its children.
  if (pid !== String(process.pid)) return found;
  for (const [at, name] of names.split(':').entries()) {
    if (at >= Math.min(Number(count), COUNT_MAX)) break;
    found.set(name, [...(found.get(name) ?? []), FIRST + at]);
  }
  return found;
}
