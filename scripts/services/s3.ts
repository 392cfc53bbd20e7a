import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { programPath } from '../setup/index.js';
import type { ServiceDefinition } from './definition.js';
import { withoutHeapProfile } from './go-runtime.js';
import { answers } from './http.js';
import { ServiceError } from './service-error.js';

export const BUCKET = 'seeupo';
export const REGION = 'us-east-1';

/** Bytes read or written at once. Of 64 KiB, transfers are as fast as of the 1 MiB it takes otherwise, and its heap does not jump by whole megabytes. */
const IO_BUFFER_BYTES = 64 * 1024;

export const s3: ServiceDefinition = {
  name: 's3',
  stage: 0,
  ports: [{ key: 'http', purpose: 'the S3 server', variable: 'SEEUPO_S3_PORT', from: 17_070 }],
  readyWithinMs: 30_000,
  graceMs: 10_000,

  async command({ dataDir, keys, port }) {
    return {
      file: await programPath('s3'),
      args: [
        '--quiet',
        '--health',
        '/healthz',
        '--region',
        REGION,
        '--port',
        `127.0.0.1:${port('s3')}`,
        'posix',
        '--io-buffer-size',
        String(IO_BUFFER_BYTES),
        join(dataDir, 's3'),
      ],
      // The keys are in the environment and not in the arguments, which everyone on the machine can read.
      env: { ROOT_ACCESS_KEY: keys.accessKeyId, ROOT_SECRET_KEY: keys.secretAccessKey, ...withoutHeapProfile },
    };
  },

  async beforeStart({ dataDir }) {
    await mkdir(join(dataDir, 's3'), { recursive: true });
  },

  isHealthy: ({ port }) => answers(`http://127.0.0.1:${port('s3')}/healthz`),

  async prepare({ keys, port }) {
    // Loaded here because it takes a third of a second, and only a start needs it. Not by mkdir: a bucket has an owner.
    process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true'; // seven lines about next year, at every start
    const { CreateBucketCommand, HeadBucketCommand, S3Client } = await import('@aws-sdk/client-s3');
    const endpoint = `http://127.0.0.1:${port('s3')}`;
    const client = new S3Client({ endpoint, region: REGION, forcePathStyle: true, credentials: keys });
    try {
      const exists = await client.send(new HeadBucketCommand({ Bucket: BUCKET })).then(
        () => true,
        (error: Error) => {
          if (error.name === 'NotFound') return false;
          throw error;
        },
      );
      if (!exists) await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    } catch (error) {
      throw new ServiceError(
        `the S3 server at ${endpoint} refuses bucket ${BUCKET}: ${(error as Error).message}; see its log, s3.log`,
      );
    } finally {
      client.destroy();
    }
  },
};
