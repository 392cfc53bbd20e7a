// An environment of a running AgentEvolver env_service (its BFCL, say). Nothing of it is installed here; the service must listen at `url`.
//   npm run quickstart -- --fresh --environment examples/env-service.ts
import { defineAgentEvolverEnvironment } from 'seeupo/environment';

export default defineAgentEvolverEnvironment({
  name: 'env-service-bfcl',
  url: 'http://127.0.0.1:8080',
  envType: 'bfcl',
  splits: { train: 'train', heldout: 'val' },
  turns: 10, // responses at most: the protocol does not say
});
