import { z } from 'zod';
import { PRECISIONS } from '../activities/policy/policy.js';

const flag = () => z.enum(['true', 'false'], 'must be true or false').optional();
const address = (example: string) => z.url({ protocol: /^https?$/, error: `must be a URL, e.g. ${example}` });
const WHOLE_FROM_ONE = 'must be a whole number from 1';

/**
 * Every environment variable that the workers and commands read to reach Temporal, S3, the hub and the environments.
 * Credentials of S3 are found by the AWS SDK's own chain: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, a role.
 */
export const Variables = z.object({
  SEEUPO_TEMPORAL_ADDRESS: z
    .string()
    .regex(/^[^\s/]+:\d+$/, 'must be host:port, e.g. 127.0.0.1:7233')
    .default('127.0.0.1:7233')
    .meta({ description: 'Address of the Temporal server, host:port.' }),
  SEEUPO_TEMPORAL_NAMESPACE: z.string().min(1).default('default').meta({ description: 'Namespace of Temporal.' }),
  SEEUPO_TEMPORAL_API_KEY: z.string().min(1).optional().meta({
    description: 'API key of Temporal Cloud, or of your own cluster if it asks for one; it is only sent over TLS.',
  }),
  SEEUPO_TEMPORAL_TLS: flag().meta({
    description: 'Whether to reach Temporal over TLS. Left out: if there is a key or a certificate.',
  }),
  SEEUPO_TEMPORAL_TLS_CA: z.string().min(1).optional().meta({
    description: "PEM file with the certificate authority of the Temporal server, if it is none of the system's.",
  }),
  SEEUPO_TEMPORAL_TLS_CERT: z.string().min(1).optional().meta({
    description: 'PEM file with the certificate of this client (mTLS); goes with SEEUPO_TEMPORAL_TLS_KEY.',
  }),
  SEEUPO_TEMPORAL_TLS_KEY: z.string().min(1).optional().meta({
    description: 'PEM file with the private key of this client (mTLS); goes with SEEUPO_TEMPORAL_TLS_CERT.',
  }),
  SEEUPO_TEMPORAL_TLS_SERVER_NAME: z.string().min(1).optional().meta({
    description: "Name that the certificate of the Temporal server is for, if it is not the address's.",
  }),
  SEEUPO_QUEUE_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/, 'must be of letters, digits, - and _')
    .default('seeupo')
    .meta({ description: 'Prefix of the task queues: `<prefix>-control` and `<prefix>-gpu`.' }),
  SEEUPO_BUILD_ID: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,100}$/, 'must be 1 to 100 of letters, digits, ., - and _')
    .optional()
    .meta({
      description:
        'Build id for worker versioning: with it, workers take only what is routed to their build ' +
        '(docs/operations.md, Versions). Left out: no versioning.',
    }),
  SEEUPO_DEPLOYMENT: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,100}$/, 'must be 1 to 100 of letters, digits, - and _')
    .default('seeupo')
    .meta({ description: 'Name of the worker deployment that SEEUPO_BUILD_ID is a build of.' }),
  SEEUPO_S3_ENDPOINT: address('http://127.0.0.1:9000').optional().meta({
    description: 'URL of the S3 server. Left out: AWS.',
  }),
  SEEUPO_S3_BUCKET: z.string({ error: 'must name the bucket' }).min(3).meta({
    description: 'Bucket that runs are stored in.',
  }),
  SEEUPO_S3_REGION: z.string().min(1).default('us-east-1').meta({ description: 'Region of the S3 server.' }),
  SEEUPO_S3_FORCE_PATH_STYLE: flag().meta({
    description:
      'Whether the bucket stands in the path of a URL rather than in the host name, as most servers other than AWS ' +
      'need. Left out: if an endpoint is given.',
  }),
  SEEUPO_S3_SSE: z
    .enum(['AES256', 'aws:kms', 'aws:kms:dsse'], 'must be AES256, aws:kms or aws:kms:dsse')
    .optional()
    .meta({ description: "Server-side encryption of everything that is written. Left out: the bucket's default." }),
  SEEUPO_S3_KMS_KEY_ID: z.string().min(1).optional().meta({
    description: "With aws:kms: id or ARN of the key. Left out: the account's own key for S3.",
  }),
  SEEUPO_BFCL_URL: address('http://127.0.0.1:8300').optional().meta({
    description: 'URL of the BFCL sidecar that serves the environment `bfcl-windows`.',
  }),
  SEEUPO_BFCL_FULL_URL: address('http://127.0.0.1:8301').optional().meta({
    description: 'URL of a sidecar started with `--environment bfcl`, which serves BFCL v4 multi-turn whole.',
  }),
  SEEUPO_APPWORLD_URL: address('http://127.0.0.1:8302').optional().meta({
    description: 'URL of a sidecar started with `--environment appworld`.',
  }),
  SEEUPO_ENVIRONMENTS_DIR: z.string().min(1).optional().meta({
    description:
      'Folders, separated as in PATH, below which environment.name may be a module. Left out: modules are refused.',
  }),
  SEEUPO_RUNTIME_DIR: z
    .string()
    .min(1)
    .default('.runtime')
    .meta({
      description:
        'Folder in which set-up and runs keep their files: models, binaries, logs. Point it at a cache to share ' +
        'set-up between clones.',
    }),
  SEEUPO_MODELS_DIR: z.string().min(1).optional().meta({
    description: 'Folder that model.path is below. Left out: `models` in the runtime folder.',
  }),
  HF_ENDPOINT: address('https://huggingface.co').default('https://huggingface.co').meta({
    description: 'URL of the hub that models like hf://owner/name@revision come from.',
  }),
  HF_TOKEN: z.string().min(1).optional().meta({
    description: 'Token of the hub; needed for private and gated models only.',
  }),
  HTTPS_PROXY: z
    .string()
    .optional()
    .meta({
      description:
        'HTTP proxy on the way to https addresses of S3 and the hub, and to Temporal if it is reached over TLS: ' +
        'http://user:password@host:port. Loopback addresses are never proxied.',
    }),
  HTTP_PROXY: z.string().optional().meta({
    description: 'The same for http addresses, and for Temporal if it is reached without TLS.',
  }),
  NO_PROXY: z.string().optional().meta({
    description: 'Hosts that need no proxy, separated by commas: names, `.suffixes` and address ranges.',
  }),
  https_proxy: z.string().optional().meta({ description: 'Another spelling of HTTPS_PROXY.' }),
  http_proxy: z.string().optional().meta({ description: 'Another spelling of HTTP_PROXY.' }),
  no_proxy: z.string().optional().meta({ description: 'Another spelling of NO_PROXY.' }),
  SEEUPO_READY_FILE: z.string().min(1).optional().meta({
    description: 'File that the worker writes when it begins to take tasks. Left out: none.',
  }),
  SEEUPO_PRECISION: z
    .enum(PRECISIONS, 'must be fp32 or bf16')
    .default('fp32')
    .meta({
      description:
        'Arithmetic of the matrix products of a GPU worker. `quickstart` and `up` choose bf16 where the processor ' +
        'has units for it.',
    }),
  SEEUPO_REPLICAS: z.coerce
    .number(WHOLE_FROM_ONE)
    .int(WHOLE_FROM_ONE)
    .min(1, WHOLE_FROM_ONE)
    .default(1)
    .meta({
      description:
        'Number of copies of the policy in one GPU worker, each on its share of the cores; for processors. ' +
        '`quickstart` and `up` choose 2 on two cores or more.',
    }),
  SEEUPO_LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error'], 'must be trace, debug, info, warn or error')
    .default('info')
    .meta({ description: 'Lines of the log below this level are left out.' }),
});
export type Variables = z.infer<typeof Variables>;
