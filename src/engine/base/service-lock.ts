/** In the store: held as long as the service has it. A second service on the same store is refused. */
export const SERVICE_LOCK = 'service.lock';
