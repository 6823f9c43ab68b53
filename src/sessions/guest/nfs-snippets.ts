import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { EXPORT_PATH } from '../../servers/nfs/exports/export-path.ts';
import type { NfsPorts } from '../../servers/nfs/listening.ts';
import { inUri } from '../../sys/net/networks.ts';
import { MOUNT_POINT, tpmSteps } from './libvirt-domain.ts';
import { machineFiles, tpmStateName } from './machine-files.ts';
import { proxmoxCommands } from './proxmox.ts';
import type { SessionMachine } from './session-machine.ts';

/** The commands that run a session from the export on a host of each kind. */
export function nfsSnippets(
  session: SessionRecord,
  {
    host,
    ports,
    about,
  }: {
    readonly host: string;
    readonly ports: NfsPorts;
    /** Undefined: not known here. */
    readonly about?: SessionMachine | undefined;
  },
) {
  const { id, machine } = session;
  const first = machineFiles(session, about);
  const disk = first.disks[0]!.names[0];
  const directory = `${EXPORT_PATH}/${id}`;
  const server = inUri(host);
  const isStandard = ports.nfs === 2049 && ports.portmap === 111;
  const mount = `mount -t nfs -o ${mountOptions(ports)} ${server}:${EXPORT_PATH} ${MOUNT_POINT}`;
  const asRoot = (...lines: string[]): string => [...rightsNote(session), ...lines].join('\n');
  const standardOnly = 'needs the standard ports: start this as root, without port options';
  return {
    export: EXPORT_PATH,
    directory,
    files: [...first.disks.flatMap(({ names }) => names), ...first.files.map(({ name }) => name)],
    snippets: {
      linux: asRoot(`mkdir -p ${MOUNT_POINT} && ${mount}`),
      libvirt: asRoot(...libvirtLines(session, { mount, about })),
      esxi: isStandard
        ? asRoot(
            `esxcli storage nfs add --host=${host} --share=${EXPORT_PATH} --volume-name=holdfast`,
            `vim-cmd solo/registervm /vmfs/volumes/holdfast/${id}/${machine}.vmx`,
          )
        : `ESXi ${standardOnly}`,
      proxmox: isStandard
        ? asRoot(
            `pvesm add nfs holdfast --server ${host} --export ${EXPORT_PATH} --content images --options vers=3,hard`,
            ...proxmoxCommands(session, about?.machine),
          )
        : `Proxmox VE ${standardOnly}`,
      xcpng: asRoot(
        `mkdir -p ${MOUNT_POINT} && ${mount}`,
        `xe vdi-import uuid=VDI filename=${MOUNT_POINT}/${id}/${disk} format=raw`,
      ),
      qemu: isStandard
        ? asRoot(`-drive file=nfs://${server}${directory}/${disk},format=raw,if=virtio`)
        : `QEMU's nfs driver ${standardOnly}`,
    },
  };
}

function libvirtLines(
  session: SessionRecord,
  { mount, about }: { readonly mount: string; readonly about: SessionMachine | undefined },
): readonly string[] {
  const create = `virsh create ${MOUNT_POINT}/${session.id}/${session.machine}.xml`;
  const tpmState = about?.tpmState && tpmStateName(session);
  const steps = tpmSteps(session, { machine: about?.machine, tpmState });
  return steps.length === 0 ? [`${mount} && ${create}`] : [mount, ...steps, create];
}

/** A note, because the files belong to root, and hypervisors connect as root. */
function rightsNote({ nfs }: SessionRecord): string[] {
  return nfs?.squash === 'none'
    ? []
    : ['# needs --squash none: it connects as root, and this export maps root to user 65534'];
}

/** `hard`: a guest waits for a restart instead of getting an error. */
function mountOptions({ nfs, mount, portmap }: NfsPorts): string {
  const options = ['vers=3', 'proto=tcp', 'hard'];
  if (nfs !== 2049) options.push(`port=${nfs}`);
  if (mount !== 20_048 || portmap !== 111) options.push(`mountport=${mount}`, 'mountproto=tcp');
  // The kernel finds the lock manager only through port 111.
  if (portmap !== 111) options.push('nolock');
  return options.join(',');
}
