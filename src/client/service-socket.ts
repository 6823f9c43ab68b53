/** The default socket of the service. */
export const SERVICE_SOCKET = '/run/holdfast/control.sock';
