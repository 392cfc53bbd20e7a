/** A service cannot be provided and a person must act: the message says which, why, and what to do. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
}
