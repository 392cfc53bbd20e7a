export { train } from './train.js';
export { iteration } from './iteration.js';
