/** `2026-11-20 21:54` of an ISO time in UTC. */
export function utc(time: string): string {
  return time.slice(0, 16).replace('T', ' ');
}

/** `14 s`, `3 min`, `2 h`. */
export function lasting(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}

/** From one ISO time to another: `3 h`, `12 days`. */
export function until(from: string, to: string): string {
  const ms = Math.max(0, Date.parse(to) - Date.parse(from));
  const days = Math.floor(ms / 86_400_000);
  return days < 2 ? lasting(ms) : `${days} days`;
}
