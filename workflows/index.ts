export { train } from './train.js';
export { iteration } from './iteration.js';
export { evaluate } from './evaluate.js';
