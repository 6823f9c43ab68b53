import type { DebianHost } from './debian-host.ts';
import { until } from './until.ts';

/** What tests ask of a machine with the service on it. */
export interface InstalledHost {
  /** A property of the service's unit. */
  show(property: string): Promise<string>;
  /** The last line that a command says with `--json`. */
  json(command: string, ...args: string[]): Promise<Record<string, unknown>>;
  /** Asks until it is so. */
  until(what: string, isSo: () => Promise<boolean>): Promise<void>;
  /** The journal of the service. */
  journal(): Promise<string>;
}

export function installedHost(host: () => DebianHost): InstalledHost {
  const unit = 'holdfastd.service';
  const journal = (): Promise<string> =>
    host().run('journalctl', '-u', unit, '-o', 'short-monotonic', '--no-pager');
  return {
    show: async (property) => (await host().run('systemctl', 'show', '-P', property, unit)).trim(),
    async json(command, ...args) {
      const out = await host().run(command, ...args, '--json');
      return JSON.parse(out.trim().split('\n').at(-1)!) as Record<string, unknown>;
    },
    until: (what, isSo) => until(what, isSo, journal),
    journal,
  };
}
