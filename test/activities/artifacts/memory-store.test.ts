import { createMemoryStore } from '../../../activities/artifacts/memory-store.js';
import { storeContract } from './store-contract.js';

const store = createMemoryStore();
storeContract('memory store', {
  store: () => store,
  overwrite: async (key, bytes) => void (bytes ? store.objects.set(key, bytes) : store.objects.delete(key)),
});
