import { ApplicationFailure, CancelledFailure, CompleteAsyncError } from '@temporalio/activity';
import { ZodError, prettifyError } from 'zod';

/**
 * Failures that no retry can fix, and who must act. The core throws plain errors; an error whose `name` is listed here
 * fails the activity without a retry, and the run fails (at its start) or pauses.
 */
export const NON_RETRYABLE = {
  BadConfig: 'the author of the run: correct the configuration and start again',
  InvalidInput: 'a developer: workflow and activity disagree on the form of an input; are both workers of one build?',
  ModelFileInvalid: 'the author of the run: another model file, or download it again',
  UnknownEnvironment: 'the author of the run: a name of the environment registry',
  NonFiniteLoss: 'the author of the run: a lower learning rate or tighter clips, from the last checkpoint',
  ShapeError: 'a developer: arrays that must match do not',
  CheckpointCorrupt: 'the operator: restore the object, or start again under a new id',
  ConflictingCommit: 'the operator: two runs share an id; start under a new one',
  ArithmeticMixed: 'the operator: a worker like those before, or the setting that allows a mix',
  RunHeld: 'the operator: another execution writes this run; the message says which, and how to take over',
  StorePermissionDenied: 'the operator: credentials or bucket policy',
  StoreRefused: 'the operator: a setting of the S3 server or of its workers; the message says which',
  StoreUnfit: 'the operator: an S3 server that honours If-None-Match and If-Match',
  StoreBucketMissing: 'the operator: create the bucket or correct its name',
  EnvironmentProtocolError:
    'the author of the environment: its code threw, or one step failed each time; else a developer: environment and client disagree',
  TemplateUnsupported: 'a developer: a chat template whose turns cannot be told apart',
  ResultTooLarge: 'a developer: an activity result must not grow with the run',
} as const;

/** Temporary failures, and the delay before the next retry; the retry policy limits the number of retries. */
export const RETRYABLE_AFTER = {
  StoreUnavailable: '5 s',
  /** Somebody must free space. */
  StoreFull: '30 s',
  EnvironmentUnavailable: '5 s',
  /** A download continues where it stopped. */
  HubUnavailable: '10 s',
  /** The process that held the memory may be gone by then. */
  DeviceOom: '10 s',
} as const;

/** Errors whose failure type differs from their name. */
const ALIASES: Readonly<Record<string, string>> = {
  ArtifactCorrupt: 'CheckpointCorrupt',
  ArtifactMissing: 'CheckpointCorrupt',
};

/** Results are stored in the workflow's history, so large values belong into the store. */
const MAX_RESULT_BYTES = 64 * 1024;

/**
 * Converts an error to an ApplicationFailure with its type, whether and when to retry. A cancellation stays as it is.
 */
export function classifyFailure(error: unknown): unknown {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure || error instanceof CompleteAsyncError)
    return error;
  if (!(error instanceof Error)) return error;
  if (error instanceof ZodError) {
    return ApplicationFailure.create({
      type: 'InvalidInput',
      nonRetryable: true,
      message: `not of the expected form: ${prettifyError(error).replaceAll('\n', ' ')}`,
      cause: error,
    });
  }
  const type = ALIASES[error.name] ?? error.name;
  if (Object.hasOwn(NON_RETRYABLE, type)) {
    return ApplicationFailure.create({ type, nonRetryable: true, message: error.message, cause: error });
  }
  if (Object.hasOwn(RETRYABLE_AFTER, type)) {
    const nextRetryDelay = RETRYABLE_AFTER[type as keyof typeof RETRYABLE_AFTER];
    return ApplicationFailure.create({
      type,
      nonRetryable: false,
      message: error.message,
      cause: error,
      nextRetryDelay,
    });
  }
  return error;
}

type Activity = (...input: never[]) => Promise<unknown>;

/** Wraps activities: classifies their failures and rejects results that are too large for a history. */
export function withClassifiedFailures<A extends Record<string, Activity>>(activities: A): A {
  const wrap = (name: string, activity: Activity): Activity =>
    async function classified(...input) {
      try {
        const result = await activity(...input);
        const bytes = Buffer.byteLength(JSON.stringify(result) ?? '');
        if (bytes <= MAX_RESULT_BYTES) return result;
        throw ApplicationFailure.nonRetryable(
          `${name} returned ${bytes} bytes, at most ${MAX_RESULT_BYTES} go through Temporal: store the value and return its reference`,
          'ResultTooLarge',
        );
      } catch (error) {
        throw classifyFailure(error);
      }
    };
  return Object.fromEntries(Object.entries(activities).map(([name, activity]) => [name, wrap(name, activity)])) as A;
}
