import { commandLine } from '../command-line.js';
import { answerOf } from './s3-answers.js';

/** Where an object was looked for, as messages name it. */
export interface ObjectPlace {
  readonly bucket: string;
  readonly key: string;
  readonly endpoint: string;
}

const at = ({ bucket, key, endpoint }: ObjectPlace): string => `s3://${bucket}/${key} at ${endpoint}`;

/** A stored object differs from the committed one. Retrying does not help; restoring the object does. */
export class ArtifactCorrupt extends Error {
  override name = 'ArtifactCorrupt';
  static notAsReferenced(place: ObjectPlace, expected: string, found: string): ArtifactCorrupt {
    return new ArtifactCorrupt(
      `${at(place)} holds ${found}, expected ${expected}: the object was damaged or replaced. ` +
        'Restore it from a backup, or start the run again under a new id.',
    );
  }
  static notOfItsForm(place: ObjectPlace, problem: string): ArtifactCorrupt {
    return new ArtifactCorrupt(
      `${at(place)} is not of the expected form: ${problem}. ` +
        'It was damaged, or written by another version of this program: go on with that version, or start the run again under a new id.',
    );
  }
}

/** A committed manifest names an object that is not there. */
export class ArtifactMissing extends ArtifactCorrupt {
  override name = 'ArtifactMissing';
  constructor(place: ObjectPlace, expected: string) {
    super(
      `${at(place)} is missing, expected ${expected}: it was deleted, or this is another bucket than the run's. ` +
        "Restore it, or point SEEUPO_S3_ENDPOINT and SEEUPO_S3_BUCKET at the run's bucket.",
    );
  }
}

/** The server does not answer, or answers that it cannot now. Worth a retry. */
export class StoreUnavailable extends Error {
  override name = 'StoreUnavailable';
  constructor(place: ObjectPlace, doing: string, cause: unknown, remedy: string) {
    super(`${doing} ${at(place)} failed: ${reasonOf(cause)}. ${remedy}`, { cause });
  }
}

/** The server refused a request, and what to do is known. */
abstract class RefusedByServer extends Error {
  /** May pass within seconds. */
  readonly brief: boolean;
  constructor(
    place: ObjectPlace,
    doing: string,
    cause: unknown,
    { remedy, brief = false }: { readonly remedy: string; readonly brief?: boolean },
  ) {
    super(`${doing} ${at(place)} was refused: ${reasonOf(cause)}. ${remedy}.`, { cause });
    this.brief = brief;
  }
}

/** The server rejects our credentials, or they lack a permission. */
export class StorePermissionDenied extends RefusedByServer {
  override name = 'StorePermissionDenied';
}

/** The server will answer so whenever it is asked: a setting of ours or of its must change first. */
export class StoreRefused extends RefusedByServer {
  override name = 'StoreRefused';
}

/** The server does not keep what its protocol promises, and what exactly-once is built on. */
export class StoreUnfit extends Error {
  override name = 'StoreUnfit';
  constructor({ bucket, endpoint }: ObjectPlace, found: string) {
    super(
      `The S3 server at ${endpoint} (bucket "${bucket}") does not honour conditional puts: ${found}. ` +
        'Exactly-once needs them: without them two executions write one run, and nobody is told. ' +
        'Use a server that enforces If-None-Match and If-Match: AWS S3, versitygw, MinIO, Cloudflare R2.',
    );
  }
}

/** The bucket does not exist. */
export class StoreBucketMissing extends Error {
  override name = 'StoreBucketMissing';
  constructor({ bucket, endpoint }: ObjectPlace, cause: unknown) {
    // Of AWS itself the place is its region.
    const where = endpoint.startsWith('AWS ')
      ? ['--region', endpoint.slice('AWS '.length)]
      : ['--endpoint-url', endpoint];
    const create = commandLine('aws', 's3api', 'create-bucket', '--bucket', bucket, ...where);
    super(`There is no bucket "${bucket}" at ${endpoint}. Create it (${create}) or correct SEEUPO_S3_BUCKET.`, {
      cause,
    });
  }
}

/** The server's disk or quota is full. Nothing was committed; the step is retried and continues once there is space. */
export class StoreFull extends Error {
  override name = 'StoreFull';
  constructor(place: ObjectPlace, cause: unknown, remedy: string) {
    super(`writing ${at(place)} failed: ${reasonOf(cause)}. ${remedy}.`, { cause });
  }
}

/** Someone committed this step with other inputs: two runs share an id, or an input changed under way. */
export class ConflictingCommit extends Error {
  override name = 'ConflictingCommit';
  static ofStep(key: string, found: string, expected: string): ConflictingCommit {
    return new ConflictingCommit(
      `${key} is already committed with input hash ${found}, but this step's input hash is ${expected}: ` +
        'another run wrote under this run id, or the run was started again with other inputs. ' +
        'Start under a new workflow id; or, if the stored run is not wanted any more, delete its prefix and start again.',
    );
  }
}

/** The shortest text that says what went wrong: status, code and message. */
function reasonOf(cause: unknown): string {
  const { status, code, message } = answerOf(cause);
  return [status !== undefined && `status ${status}`, code, message]
    .filter((part): part is string => Boolean(part) && !/^Unknown(Error)?$/.test(String(part)))
    .filter((part, index, parts) => parts.indexOf(part) === index)
    .join(', ')
    .replace(/\.$/, '');
}
