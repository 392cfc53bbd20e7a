/** What came back of a request to an S3 server: its own words, or the network's. */
export interface S3Answer {
  /** HTTP status; undefined if no answer came. */
  readonly status?: number | undefined;
  /**
   * `Code` of S3's error document, or Node's code of a connection that failed, e.g. ECONNREFUSED; empty if neither
   * is known.
   */
  readonly code: string;
  readonly message: string;
  /** Where the bucket is, if the server says so. */
  readonly region?: string | undefined;
}

/** How the store that was asked is set up: what a hint may blame. */
export interface S3Setup {
  /** Null is AWS itself. */
  readonly endpoint: string | null;
  readonly forcePathStyle: boolean;
}

export interface Meaning {
  /**
   * - `unavailable`: passes by itself, worth waiting for;
   * - `full`: passes when somebody makes room;
   * - `denied`: who we are, or what we may do;
   * - `no bucket`;
   * - `refused`: this server will never do this as it is asked: a setting must change.
   */
  readonly kind: 'unavailable' | 'full' | 'denied' | 'no bucket' | 'refused';
  /** One sentence: what to do, with the variable to set. */
  readonly remedy: string;
  /** Refused or denied, but it may pass within seconds: refreshed credentials, a bit that flipped on the way. */
  readonly brief?: true;
}

type Remedy = string | ((answer: S3Answer, setup: S3Setup) => string);

/**
 * What everything together asks for: retention deletes, large blobs go up in parts, parts of killed workers are
 * aborted.
 */
export const RIGHTS =
  's3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket, s3:AbortMultipartUpload and ' +
  's3:ListBucketMultipartUploads';

const KEYS = 'Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the profile or role in their place)';
const RIGHTS_NEEDED = `${KEYS}; they need ${RIGHTS} on this bucket`;
const ACCOUNT =
  'The account that the bucket belongs to is closed, suspended or not signed up: its owner must settle that ' +
  'with the provider';
const TOKEN =
  'The temporary credentials have run out or are not known: renew them (AWS_SESSION_TOKEN with its two keys, ' +
  'or log in again) and start the worker anew; a role renews its own';
const CLOCK = "This machine's clock and the server's are too far apart: set the clock (NTP)";
const HEADER =
  'The server does not take something that this program sends: a checksum (set ' +
  'AWS_REQUEST_CHECKSUM_CALCULATION=WHEN_REQUIRED), ' +
  'server-side encryption (SEEUPO_S3_SSE), or If-None-Match and If-Match, without which no server can be used';
const CHANGED_ON_THE_WAY =
  'What arrived is not what was sent: a proxy between here and SEEUPO_S3_ENDPOINT changes requests, or ' +
  'memory or cable is bad';
const REGION: Remedy = ({ region }, { endpoint }) =>
  region
    ? `The bucket's region is ${region}: set SEEUPO_S3_REGION=${region}${endpoint === null ? '' : ', and SEEUPO_S3_ENDPOINT to a server of that region'}`
    : `SEEUPO_S3_REGION${endpoint === null ? '' : ' or SEEUPO_S3_ENDPOINT'} is not the bucket's: set it to the region that the server names, or is configured with`;
const MALFORMED: Remedy = (answer, setup) =>
  /access ?key|AKID|credential is mal/i.test(answer.message) && !/region/i.test(answer.message)
    ? KEYS
    : formatRemedy(REGION, answer, setup);
const NAME = 'SEEUPO_S3_BUCKET is no name of a bucket: 3 to 63 of small letters, digits, dots and hyphens';
const METHOD =
  'What answers does not take this kind of request: is SEEUPO_S3_ENDPOINT the S3 port itself (no web ' +
  'console, no static web site, no read-only mirror), and is the object no delete marker?';
const FROZEN =
  'The object was moved to an archive class (Glacier): restore it (aws s3api restore-object), and exclude ' +
  'this bucket from the lifecycle rule that moves objects there';
const KEY_OF_KMS =
  'The encryption key cannot be used (disabled, deleted, of another region, or not allowed to these ' +
  'credentials): enable it and allow kms:GenerateDataKey and kms:Decrypt, or correct SEEUPO_S3_KMS_KEY_ID';
const ENCRYPTION =
  'The server does not encrypt as asked: correct SEEUPO_S3_SSE and SEEUPO_S3_KMS_KEY_ID, or leave them out';
const LARGE =
  'The object, or a part of 16 MiB of it, is larger than this server or the proxy before it allows: raise ' +
  'its limit (nginx: client_max_body_size)';
const LOCKED =
  'The bucket keeps objects from being changed (object lock or retention): use a bucket without it; records ' +
  'of runs must be replaceable';
const NO_S3 =
  'What answers is no S3 server: is SEEUPO_S3_ENDPOINT its S3 port (and not that of a web console, a proxy ' +
  'or another program)?';
const NO_TLS: Remedy = (_, { endpoint }) =>
  `The server does not speak TLS: SEEUPO_S3_ENDPOINT must begin with http:// in place of https:// (it is ${endpoint ?? 'AWS'})`;
const NO_HTTP =
  'What answers does not speak HTTP: if the server speaks TLS, SEEUPO_S3_ENDPOINT must begin with https://; ' +
  'else it is no S3 server';
const BUCKET_IN_HOST =
  'The bucket is looked for in the host name, which does not exist: set SEEUPO_S3_FORCE_PATH_STYLE=true';
const HUNG_UP: Remedy = (_, { endpoint }) =>
  endpoint?.startsWith('http:')
    ? 'The server hung up; this is tried again. If it lasts: is it running, and does SEEUPO_S3_ENDPOINT need ' +
      'https:// in place of http://?'
    : WAITS;
const TLS_ASKED = 'The server speaks TLS: SEEUPO_S3_ENDPOINT must begin with https:// in place of http://';
const AUTHORITY =
  "The server's certificate is of no authority that this machine trusts: name the authority's PEM file in " +
  'NODE_EXTRA_CA_CERTS';
const CERTIFICATE =
  "The server's certificate is not for the host name in SEEUPO_S3_ENDPOINT, or has run out: use the name " +
  'that it is for (with SEEUPO_S3_FORCE_PATH_STYLE=true if it lacks BUCKET.host), or renew it';
const WAITS =
  'The S3 server is down, unreachable or overloaded; this is tried again. If it lasts: is the server ' +
  'running, and is SEEUPO_S3_ENDPOINT right?';
const NOT_FOUND: Remedy = (_, { endpoint, forcePathStyle }) =>
  endpoint !== null && !forcePathStyle
    ? `${BUCKET_IN_HOST}. This is tried again`
    : 'There is no host of this name (yet); this is tried again. Is SEEUPO_S3_ENDPOINT right?';
const AGAIN =
  'The upload of parts was ended by somebody else (a lifecycle rule that aborts uploads too early?); it is begun again';
const ROOM =
  'The store is out of space; nothing was committed, this is tried again. Free some space or delete old runs ' +
  '(prefix runs/<run id>/)';

const kindOf = (kind: Meaning['kind'], brief?: true) => (remedy: Remedy) => ({ kind, remedy, ...(brief && { brief }) });
const refused = kindOf('refused');
const denied = kindOf('denied');
const waits = kindOf('unavailable');

type Row = { readonly kind: Meaning['kind']; readonly remedy: Remedy; readonly brief?: true };

/** Codes with one meaning, in the order of whom they concern. Of AWS's list, and of the servers that follow it. */
const GROUPS: readonly (readonly [Row, string])[] = [
  [denied(RIGHTS_NEEDED), 'AccessDenied UnauthorizedAccess Unauthorized Forbidden AccessForbidden'],
  [
    denied(KEYS),
    'InvalidAccessKeyId SignatureDoesNotMatch InvalidSecurity MissingSecurityHeader ' +
      'MissingAuthenticationToken InvalidClientTokenId UnrecognizedClientException MissingSecurityElement',
  ],
  [kindOf('denied', true)(KEYS), 'CredentialsProviderError'],
  [denied(ACCOUNT), 'AccountProblem AllAccessDisabled NotSignedUp InvalidPayer'],
  [
    kindOf('denied', true)(TOKEN),
    'ExpiredToken ExpiredTokenException InvalidToken TokenRefreshRequired RequestExpired',
  ],
  [refused(MALFORMED), 'AuthorizationHeaderMalformed InvalidCredential'],
  [
    refused(REGION),
    'PermanentRedirect Redirect IllegalLocationConstraintException InvalidRegion InvalidRegionName ' +
      'IncorrectEndpoint InvalidLocationConstraint',
  ],
  [refused(CLOCK), 'RequestTimeTooSkewed'],
  [refused(NAME), 'InvalidBucketName'],
  [{ kind: 'no bucket', remedy: '' }, 'NoSuchBucket'],
  [refused(METHOD), 'MethodNotAllowed'],
  [refused(FROZEN), 'InvalidObjectState'],
  [refused(ENCRYPTION), 'InvalidEncryptionAlgorithmError ServerSideEncryptionConfigurationNotFoundError'],
  [
    refused(HEADER),
    'NotImplemented InvalidArgument InvalidRequest MissingContentLength InvalidHTTPRequest MalformedXML ' +
      'MalformedTrailerError UnsupportedHeader InvalidChecksum',
  ],
  [
    kindOf('refused', true)(CHANGED_ON_THE_WAY),
    'BadDigest InvalidDigest XAmzContentSHA256Mismatch XAmzContentChecksumMismatch ChecksumMismatch IncompleteBody',
  ],
  [refused(LARGE), 'EntityTooLarge MaxMessageLengthExceeded RequestEntityTooLarge'],
  [refused(LOCKED), 'ObjectLocked InvalidBucketState InvalidRetentionPeriod FileImmutable'],
  [
    kindOf('full')(ROOM),
    'QuotaExceeded StorageFull InsufficientStorage InsufficientCapacity XMinioStorageFull ' +
      'XMinioAdminBucketQuotaExceeded StorageQuotaExceeded',
  ],
  [
    waits(WAITS),
    'SlowDown SlowDownRead SlowDownWrite ServiceUnavailable InternalError InternalFailure RequestTimeout ' +
      'RequestTimeoutException OperationAborted ConditionalRequestConflict',
  ],
  [
    waits(WAITS),
    'Throttling ThrottlingException TooManyRequests RequestThrottled RequestLimitExceeded ' +
      'BandwidthLimitExceeded Busy ServerBusy XMinioServerNotInitialized TemporaryRedirect',
  ],
  [waits(WAITS), 'IncompleteAnswer'],
  [waits(AGAIN), 'NoSuchUpload InvalidPart InvalidPartOrder'],
  [waits(NOT_FOUND), 'ENOTFOUND'],
  [waits(HUNG_UP), 'ECONNRESET EPIPE'],
  [refused(NO_TLS), 'EPROTO ERR_SSL_WRONG_VERSION_NUMBER ERR_SSL_PACKET_LENGTH_TOO_LONG'],
  [
    refused(AUTHORITY),
    'DEPTH_ZERO_SELF_SIGNED_CERT SELF_SIGNED_CERT_IN_CHAIN UNABLE_TO_VERIFY_LEAF_SIGNATURE ' +
      'UNABLE_TO_GET_ISSUER_CERT UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  ],
  [refused(CERTIFICATE), 'ERR_TLS_CERT_ALTNAME_INVALID CERT_HAS_EXPIRED CERT_NOT_YET_VALID'],
];
const BY_CODE: ReadonlyMap<string, Row> = new Map(
  GROUPS.flatMap(([row, codes]) => codes.split(' ').map((code) => [code, row] as const)),
);

/** What a status means whose code is of no list. */
function byStatus(status: number | undefined): Row {
  if (status === undefined) return waits(WAITS);
  if (status < 300) return refused(NO_S3);
  if (status < 400) return refused(REGION);
  if (status === 401 || status === 403) return denied(RIGHTS_NEEDED);
  if (status === 404) return refused(NO_S3);
  if (status === 405) return refused(METHOD);
  if (status === 413) return refused(LARGE);
  if (status === 507) return kindOf('full')(ROOM);
  // 407 and 511: a proxy wants us to log in.
  if (status === 407 || status === 511)
    return refused(
      'A proxy on the way asks for a login: set it in HTTPS_PROXY (http://user:password@host:port), or name ' +
        'the server in NO_PROXY',
    );
  // Time-outs, conflicts of two requests, too early, too many: all pass.
  if ([408, 409, 423, 425, 429].includes(status)) return waits(WAITS);
  if (status === 501 || status === 505 || status < 500) return refused(HEADER);
  return waits(WAITS);
}

/**
 * What an answer of an S3 server means to us. The code decides; where it is of no list, the status does: what a server
 * will say again whenever it is asked is not waited for.
 */
export function meaningOf(answer: S3Answer, setup: S3Setup): Meaning {
  const { remedy, ...row } = rowOf(answer, setup);
  return { ...row, remedy: formatRemedy(remedy, answer, setup) };
}

function rowOf({ status, code, message }: S3Answer, { forcePathStyle }: S3Setup): Row {
  const words = `${code} ${message}`;
  if (/^(AWS)?KMS\b|^KMS\./i.test(code))
    return /throttl|internal|unavailable|timeout|limit/i.test(code) ? waits(WAITS) : refused(KEY_OF_KMS);
  if (status === 400 && /HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS/i.test(words))
    return refused(TLS_ASKED);
  // Nobody will ever make BUCKET.localhost known.
  if (code === 'ENOTFOUND' && !forcePathStyle && message.endsWith('.localhost')) return refused(BUCKET_IN_HOST);
  const known = BY_CODE.get(code);
  if (known) return known;
  if (/no space left|storage ?full|quota ?exceeded|insufficient ?storage/i.test(words)) return kindOf('full')(ROOM);
  if (/wrong version number|packet length too long/i.test(words)) return refused(NO_TLS);
  if (code.startsWith('HPE_')) return refused(NO_HTTP);
  return byStatus(status);
}

const formatRemedy = (remedy: Remedy, answer: S3Answer, setup: S3Setup): string =>
  typeof remedy === 'string' ? remedy : remedy(answer, setup);

/** The parts of an error of the AWS SDK, which it also throws when no answer arrived. */
export function answerOf(error: unknown): S3Answer {
  if (!(error instanceof Error)) return { code: '', message: String(error) };
  const given = error as Error & {
    code?: string;
    Code?: string;
    Region?: string;
    $metadata?: { httpStatusCode?: number };
    $response?: { headers?: Record<string, string>; body?: unknown };
  };
  const status = given.$metadata?.httpStatusCode;
  const headers = given.$response?.headers ?? {};
  const code = [given.Code, given.code, given.name].find((one) => one !== undefined && !NAMELESS.has(one)) ?? '';
  const message =
    error instanceof AggregateError ? error.errors.map((one) => (one as Error).message).join('; ') : error.message;
  const region = given.Region ?? headers['x-amz-bucket-region'] ?? /expecting '([a-z0-9-]+)'/.exec(message)?.[1];
  if (!NO_DOCUMENT.test(message)) return { status, code, message, region };
  const page = headers['content-type']?.startsWith('text/html') === true;
  if (!page && BROKEN_OFF.test(message)) return { status, code: INCOMPLETE, message: 'the answer breaks off', region };
  return { status, code: '', message: page ? 'the answer is a web page' : 'the answer is no document of S3', region };
}

/** Names that say nothing: what the SDK and Node call an error for want of a code. */
const NAMELESS = new Set([
  'Error',
  'AggregateError',
  'UnknownError',
  'Unknown',
  'SyntaxError',
  'S3ServiceException',
  'BadRequest',
  '400',
  '403',
  '405',
  '501',
]);
/** The SDK's message about a response body that is not XML. */
const NO_DOCUMENT = /Deserialization error|XML parse error|is not expected|Unclosed tag|Unexpected (token|end)/;
/** The same, of XML whose end did not arrive. */
const BROKEN_OFF = /end of input|missing closing|not found|Unclosed tag|Unexpected end/i;
const INCOMPLETE = 'IncompleteAnswer';
