/** The one path that hosts mount. Each host finds there what it may see. */
export const EXPORT_PATH = '/holdfast';
