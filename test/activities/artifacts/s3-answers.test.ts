import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  answerOf,
  meaningOf,
  type Meaning,
  type S3Answer,
  type S3Setup,
} from '../../../activities/artifacts/s3-answers.js';

const own: S3Setup = { endpoint: 'https://s3.lab:9000', forcePathStyle: true };
const aws: S3Setup = { endpoint: null, forcePathStyle: false };

/** Status, code, what it means, and what the one sentence must name. From AWS's list of error codes, and from servers that add their own. */
const TABLE: readonly (readonly [
  status: number | undefined,
  code: string,
  kind: Meaning['kind'],
  names: RegExp,
  message?: string,
])[] = [
  // Where the bucket is.
  [301, 'PermanentRedirect', 'refused', /SEEUPO_S3_REGION/],
  [
    400,
    'AuthorizationHeaderMalformed',
    'refused',
    /SEEUPO_S3_REGION/,
    "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'",
  ],
  [
    400,
    'AuthorizationHeaderMalformed',
    'refused',
    /AWS_ACCESS_KEY_ID/,
    'a non-empty Access Key (AKID) must be provided in the credential.',
  ],
  [400, 'IllegalLocationConstraintException', 'refused', /SEEUPO_S3_REGION/],
  [301, '', 'refused', /SEEUPO_S3_REGION/],
  [307, 'TemporaryRedirect', 'unavailable', /tried again/],
  [400, 'InvalidBucketName', 'refused', /SEEUPO_S3_BUCKET/],
  [404, 'NoSuchBucket', 'no bucket', /^$/],
  // Who we are.
  [
    403,
    'AccessDenied',
    'denied',
    /s3:DeleteObject, s3:ListBucket, s3:AbortMultipartUpload and s3:ListBucketMultipartUploads/,
  ],
  [403, 'InvalidAccessKeyId', 'denied', /AWS_ACCESS_KEY_ID/],
  [403, 'SignatureDoesNotMatch', 'denied', /AWS_SECRET_ACCESS_KEY/],
  [403, 'AllAccessDisabled', 'denied', /account/],
  [403, 'AccountProblem', 'denied', /account/],
  [403, 'NotSignedUp', 'denied', /account/],
  [400, 'ExpiredToken', 'denied', /AWS_SESSION_TOKEN/],
  [400, 'InvalidToken', 'denied', /AWS_SESSION_TOKEN/],
  [400, 'TokenRefreshRequired', 'denied', /AWS_SESSION_TOKEN/],
  [undefined, 'CredentialsProviderError', 'denied', /AWS_ACCESS_KEY_ID/],
  [403, 'RequestTimeTooSkewed', 'refused', /clock/],
  [403, '', 'denied', /s3:PutObject/],
  [401, '', 'denied', /s3:PutObject/],
  [407, '', 'refused', /HTTPS_PROXY/],
  // What is asked.
  [405, 'MethodNotAllowed', 'refused', /SEEUPO_S3_ENDPOINT/],
  [501, 'NotImplemented', 'refused', /AWS_REQUEST_CHECKSUM_CALCULATION=WHEN_REQUIRED/],
  [400, 'InvalidArgument', 'refused', /AWS_REQUEST_CHECKSUM_CALCULATION=WHEN_REQUIRED/],
  [400, 'InvalidRequest', 'refused', /If-None-Match/],
  [411, 'MissingContentLength', 'refused', /SEEUPO_S3_SSE/],
  [400, 'BadDigest', 'refused', /changes requests/],
  [400, 'XAmzContentSHA256Mismatch', 'refused', /changes requests/],
  [400, 'EntityTooLarge', 'refused', /larger than this server/],
  [413, '', 'refused', /client_max_body_size/],
  [400, 'SomethingNew', 'refused', /SEEUPO_S3_SSE/],
  [412, 'PreconditionFailed', 'refused', /If-Match/],
  // Encryption and archives.
  [400, 'KMS.DisabledException', 'refused', /SEEUPO_S3_KMS_KEY_ID/],
  [400, 'KMS.NotFoundException', 'refused', /SEEUPO_S3_KMS_KEY_ID/],
  [403, 'KMS.AccessDeniedException', 'refused', /kms:GenerateDataKey/],
  [400, 'KMS.ThrottlingException', 'unavailable', /tried again/],
  [400, 'InvalidEncryptionAlgorithmError', 'refused', /SEEUPO_S3_SSE/],
  [403, 'InvalidObjectState', 'refused', /Glacier.*restore-object/],
  [400, 'ObjectLocked', 'refused', /object lock/],
  // What passes.
  [503, 'SlowDown', 'unavailable', /overloaded/],
  [503, 'ServiceUnavailable', 'unavailable', /tried again/],
  [500, 'InternalError', 'unavailable', /tried again/],
  [200, 'InternalError', 'unavailable', /tried again/],
  [400, 'RequestTimeout', 'unavailable', /tried again/],
  [409, 'OperationAborted', 'unavailable', /tried again/],
  [409, 'ConditionalRequestConflict', 'unavailable', /tried again/],
  [429, '', 'unavailable', /tried again/],
  [502, '', 'unavailable', /tried again/],
  [504, '', 'unavailable', /tried again/],
  [404, 'NoSuchUpload', 'unavailable', /begun again/],
  [503, 'XMinioServerNotInitialized', 'unavailable', /tried again/],
  [undefined, 'ECONNREFUSED', 'unavailable', /SEEUPO_S3_ENDPOINT/],
  [undefined, 'ETIMEDOUT', 'unavailable', /SEEUPO_S3_ENDPOINT/],
  [undefined, 'ECONNRESET', 'unavailable', /tried again/],
  [undefined, 'ENOTFOUND', 'unavailable', /no host of this name/],
  // Room.
  [507, 'InsufficientStorage', 'full', /Free some space/],
  [403, 'QuotaExceeded', 'full', /Free some space/],
  [507, 'XMinioStorageFull', 'full', /Free some space/],
  [500, 'InternalError', 'unavailable', /tried again/, 'it hurts'],
  // TLS.
  [undefined, 'EPROTO', 'refused', /must begin with http:\/\/ in place of https/],
  [400, '', 'refused', /must begin with https:\/\//, 'Client sent an HTTP request to an HTTPS server.'],
  [undefined, 'DEPTH_ZERO_SELF_SIGNED_CERT', 'refused', /NODE_EXTRA_CA_CERTS/],
  [undefined, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'refused', /NODE_EXTRA_CA_CERTS/],
  [undefined, 'ERR_TLS_CERT_ALTNAME_INVALID', 'refused', /host name in SEEUPO_S3_ENDPOINT/],
  [undefined, 'CERT_HAS_EXPIRED', 'refused', /has run out/],
  // No S3 at all: a page of a web console.
  [200, '', 'refused', /no S3 server/],
  [404, '', 'refused', /no S3 server/],
];

test(`${TABLE.length} answers: each is waited for, refused or denied as it must be, with one sentence that names what to set`, () => {
  assert.ok(TABLE.length >= 60);
  for (const [status, code, kind, names, message = 'in other words'] of TABLE) {
    const found = meaningOf({ status, code, message }, own);
    assert.equal(found.kind, kind, `${status} ${code}`);
    assert.match(found.remedy, names, `${status} ${code}`);
  }
});

test('a region that the server names is the one to set', () => {
  const answer: S3Answer = {
    status: 400,
    code: 'AuthorizationHeaderMalformed',
    message: "the region 'us-east-1' is wrong; expecting 'eu-west-1'",
    region: 'eu-west-1',
  };
  assert.match(meaningOf(answer, aws).remedy, /SEEUPO_S3_REGION=eu-west-1$/);
});

test("a bucket in the host name of a server of one's own that nobody finds: the path is the remedy; below localhost it is not waited for", () => {
  const found = (host: string) =>
    meaningOf(
      { code: 'ENOTFOUND', message: `getaddrinfo ENOTFOUND artifacts.${host}` },
      { endpoint: `http://${host}:9000`, forcePathStyle: false },
    );
  for (const host of ['localhost', 's3.lab']) assert.match(found(host).remedy, /SEEUPO_S3_FORCE_PATH_STYLE=true/);
  assert.deepEqual([found('localhost').kind, found('s3.lab').kind], ['refused', 'unavailable']);
});

test('http to a server that speaks TLS: it hangs up, or answers what is no HTTP', () => {
  const plain: S3Setup = { endpoint: 'http://s3.lab:9000', forcePathStyle: true };
  assert.match(
    meaningOf({ code: 'ECONNRESET', message: 'socket hang up' }, plain).remedy,
    /https:\/\/ in place of http/,
  );
  assert.match(
    meaningOf({ code: 'HPE_INVALID_CONSTANT', message: 'Parse Error: Expected HTTP/' }, plain).remedy,
    /must begin with https:/,
  );
});

test('credentials that are being renewed, and a bit that flipped, are given some seconds; a wrong key is not', () => {
  const brief = (status: number, code: string) => meaningOf({ status, code, message: '' }, aws).brief === true;
  assert.deepEqual(
    [brief(400, 'ExpiredToken'), brief(400, 'BadDigest'), brief(403, 'InvalidAccessKeyId'), brief(403, 'AccessDenied')],
    [true, true, false, false],
  );
});

test('an error of the SDK is read: code, status, region; names that say nothing and bodies that are no document are left out', () => {
  const error = (fields: object, message = 'm') => Object.assign(new Error(message), fields);
  assert.deepEqual(answerOf(error({ name: 'ExpiredToken', $metadata: { httpStatusCode: 400 } })), {
    status: 400,
    code: 'ExpiredToken',
    message: 'm',
    region: undefined,
  });
  assert.deepEqual(answerOf(error({ name: 'UnknownError', $metadata: { httpStatusCode: 403 } })), {
    status: 403,
    code: '',
    message: 'm',
    region: undefined,
  });
  assert.equal(
    answerOf(
      error({
        name: 'PermanentRedirect',
        $metadata: { httpStatusCode: 301 },
        $response: { headers: { 'x-amz-bucket-region': 'eu-central-1' } },
      }),
    ).region,
    'eu-central-1',
  );
  assert.equal(
    answerOf(
      error(
        { $metadata: { httpStatusCode: 200 } },
        "char 'a' is not expected.:1:1\n Deserialization error: to see the raw response",
      ),
    ).code,
    '',
  );
  const unread = (contentType: string) =>
    answerOf(
      error(
        { $metadata: { httpStatusCode: 200 }, $response: { headers: { 'content-type': contentType } } },
        'XML parse error: missing closing tag </a>.',
      ),
    );
  // A list that was cut off on the way passes; a page with a tag that is never closed does not.
  assert.deepEqual(
    ['application/xml', 'text/html; charset=utf-8'].map((type) => meaningOf(unread(type), own).kind),
    ['unavailable', 'refused'],
  );
  assert.equal(
    answerOf(Object.assign(new AggregateError([new Error('one'), new Error('two')]), { code: 'ECONNREFUSED' })).message,
    'one; two',
  );
});
