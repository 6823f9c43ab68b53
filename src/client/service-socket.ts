/** Of the small service with root's rights. */
export const HOST_SOCKET = '/run/holdfast-host/hostd.sock';
/** Of the small service that mounts volumes. */
export const FILES_SOCKET = '/run/holdfast-files/filesd.sock';
/** Where the service listens unless its settings say otherwise. */
export const SERVICE_SOCKET = '/run/holdfast/control.sock';
