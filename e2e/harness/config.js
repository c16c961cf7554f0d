// The configuration the suites start from; a suite adds what it is about.

import { API_KEY } from './api.js';
import { SECRET } from './token.js';

const everyone = (...rights) => Object.fromEntries(
  rights.flatMap((right) => [[`allow_${right}_for_client`, true], [`allow_${right}_for_anonymous`, true]]),
);

const history = { history_size: 100, history_ttl: '300s' };
const readable = everyone('subscribe', 'publish', 'history', 'presence');

/** Namespaces by what they are for. */
export const namespaces = {
  open: { ...readable, ...history, presence: true, join_leave: true, allow_recovery: true, allow_positioning: true },
  plain: everyone('subscribe', 'publish'),
  stream: { ...readable, ...history, force_recovery: true },
  long: { ...readable, history_size: 10_000, history_ttl: '300s', force_recovery: true },
  short: { ...readable, history_size: 3, history_ttl: '300s', force_recovery: true },
  positioned: { ...readable, ...history, force_positioning: true },
  people: { ...readable, presence: true, join_leave: true, force_push_join_leave: true },
  locked: { presence: true },
  delta: { ...readable, ...history, force_recovery: true, allowed_delta_types: ['fossil'], delta_publish: true },
  tags: { ...readable, ...history, force_recovery: true, allow_tags_filter: true },
  binary: { ...everyone('subscribe', 'publish'), publication_data_format: 'binary' },
  mm: everyone('subscribe', 'publish'), // the shortest name: a thousand of them fit one message
};

/** The base configuration with sections added or replaced, key by key. */
export function config({ client = {}, channel = {}, ...sections } = {}) {
  return {
    log: { level: 'info' },
    health: { enabled: true },
    http_api: { key: API_KEY },
    http_stream: { enabled: true },
    sse: { enabled: true },
    client: {
      token: { hmac_secret_key: SECRET },
      allow_anonymous_connect_without_token: true,
      allowed_origins: [],
      ...client,
    },
    channel: {
      namespaces: Object.entries(namespaces).map(([name, options]) => ({ name, ...options })),
      ...channel,
    },
    ...sections,
  };
}

let counter = 0;

/** A channel of the namespace that no other test uses. */
export function fresh(namespace) {
  return `${namespace}:${process.pid}-${++counter}`;
}
