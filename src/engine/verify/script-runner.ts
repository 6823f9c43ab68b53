import { askService } from '../../client/service-client.ts';
import { HOST_SOCKET } from '../../client/service-socket.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import { HostError } from '../../host/base/host-error.ts';
import { runScript, scriptEnvironment } from '../../host/scripts/run-script.ts';
import { checkScript } from '../../host/scripts/script-file.ts';
import type { RunScript } from '../../sessions/proof/script-checks.ts';
import type { Store } from '../../store/directory/store.ts';
import { isSuperuser } from '../../sys/process/run.ts';

/*
 * Who makes the sandbox of a script: systemd, which root asks. The service has no such rights, and its unit allows no
 * namespaces of its own, so it asks the small service that has them; that one looks at the script again.
 */

/** What systemd makes when it has booted this host: sd_booted(3). */
const SYSTEMD = '/run/systemd/system';

/** Rejects before any boot: if a script is not there or not only root's, or if this process gets no sandbox. */
export async function checkScripts({ files }: Store, scripts: readonly string[]): Promise<void> {
  if (scripts.length === 0) return;
  for (const script of scripts) checkScript(script);
  if (!(await files.stat(SYSTEMD))) {
    throw new HostError('REFUSED', `${WHY}, and systemd does not run on this host`);
  }
  if (isSuperuser() || (await files.stat(HOST_SOCKET))) return;
  const advice = 'run the command as root, or install the service, which has a helper for it';
  throw new HostError('REFUSED', `${WHY}, which only root may ask for one: ${advice}`);
}
const WHY = 'a script runs in a sandbox that systemd makes';

export function scriptRunner(
  store: Store,
  { set, point: { id: point, machine } }: { readonly set: string; readonly point: PointRecord },
): RunScript {
  const about = { set, machine, point };
  return ({ script, proof, sockets, seconds, signal }) => {
    if (isSuperuser()) {
      const environment = scriptEnvironment(about);
      return runScript(store, { script, sockets, environment, seconds, signal });
    }
    const request = { script, proof, seconds, ...about };
    return askService(HOST_SOCKET, 'verify/script', request, {
      ...{ secret: undefined, signal, report() {} },
    });
  };
}
