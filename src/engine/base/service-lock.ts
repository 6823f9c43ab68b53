/** A lock in the store, held while the service has it open. A second service on the same store is refused. */
export const SERVICE_LOCK = 'service.lock';
