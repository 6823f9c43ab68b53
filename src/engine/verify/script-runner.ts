import { askRootService, HOST_SERVICE } from '../../client/root-services.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import { HostError } from '../../host/base/host-error.ts';
import { runScript, scriptEnvironment } from '../../host/scripts/run-script.ts';
import { checkScript } from '../../host/scripts/script-file.ts';
import type { RunScript } from '../../sessions/proof/script-checks.ts';
import type { Store } from '../../store/directory/store.ts';
import { mayWrite } from '../../sys/files/file-view.ts';
import { SERVICE_SOCKETS, socketDirectory } from '../../sys/net/socket-directory.ts';
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
  if (!isSuperuser()) await checkHelper();
}

/** That the helper of the service answers this process, and finds its sockets. */
export async function checkHelper(helper = HOST_SERVICE.socket): Promise<void> {
  if (socketDirectory() === SERVICE_SOCKETS && (await mayWrite(helper))) return;
  const advice =
    'run the command as root, or let the service do it, which has a helper for it (no --store)';
  throw new HostError('REFUSED', `${WHY}, and only root and the service get one: ${advice}`);
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
    return askRootService(HOST_SERVICE, 'verify/script', request, {
      ...{ secret: undefined, signal, report() {} },
    });
  };
}
