/** The socket of the small service with root's rights. */
export const HOST_SOCKET = '/run/holdfast-host/hostd.sock';
/** The socket of the small service that mounts volumes. */
export const FILES_SOCKET = '/run/holdfast-files/filesd.sock';
/** The default socket of the service. */
export const SERVICE_SOCKET = '/run/holdfast/control.sock';
