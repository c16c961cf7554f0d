// The page: reads the forms, drives one Connection, shows what it says.

import { Connection } from './connection.js';
import { FrameList, clock, followEnd } from './frames.js';
import { TRANSPORTS, endpointURL } from './transports.js';

const MAX_EVENTS = 300; // entries kept in the feed
const el = (id) => document.getElementById(id);

const connection = new Connection();
const frames = new FrameList({
  list: el('frames'), filter: el('frame-filter'), pings: el('frame-pings'), counter: el('frame-count'),
});

// --- connection ---

const stateText = {
  disconnected: 'disconnected', connecting: 'connecting…', waiting: 'waiting to reconnect', connected: 'connected',
};

connection.addEventListener('state', ({ detail }) => {
  el('state').textContent = stateText[detail.state];
  el('state').dataset.state = detail.state;
  el('client').textContent = detail.client ?? '–';
  el('server-version').textContent = detail.version ?? '–';
  const why = [detail.code || '', detail.reason || ''].filter(Boolean).join(' ');
  const wait = detail.state === 'waiting' ? `, next attempt in ${(detail.delay / 1000).toFixed(1)} s` : '';
  el('state-reason').textContent = why + wait;
  el('connect').textContent = detail.state === 'waiting' ? 'Reconnect now' : 'Connect';
  refreshButtons();
});

el('connect').addEventListener('click', () => {
  connection.token = el('token').value.trim();
  connection.connect();
});
el('disconnect').addEventListener('click', () => connection.disconnect());
el('transport').addEventListener('change', () => {
  const open = connection.state !== 'disconnected';
  if (open) connection.disconnect();
  chooseTransport(el('transport').value);
  if (open) connection.connect();
});

function chooseTransport(name) {
  connection.transport = name;
  el('endpoint').textContent = connection.endpoints[name];
  el('endpoint').title = endpointURL(name, connection.endpoints);
}

// Offers the transports that the server and the browser have.
async function loadTransports() {
  connection.endpoints = await (await fetch('transports.json')).json();
  for (const [name, title] of Object.entries(TRANSPORTS)) {
    if (!connection.endpoints[name] || name === 'webtransport' && !globalThis.WebTransport) continue;
    const option = document.createElement('option');
    option.value = name;
    option.textContent = title;
    el('transport').append(option);
  }
  if (el('transport').value) chooseTransport(el('transport').value);
  else throw new Error('the server has no transport that this page can use');
}
el('drop').addEventListener('click', () => {
  showRecovery('pending', 'connection dropped, messages published now are missed…');
  connection.drop(Number(el('offline').value) * 1000);
});

// --- subscription ---

connection.addEventListener('subscription', ({ detail }) => {
  el('subscription-state').textContent = detail.state;
  el('subscription-state').dataset.state = detail.state;
  el('subscription-reason').textContent = [detail.code || '', detail.reason || ''].filter(Boolean).join(' ');
  if (detail.state === 'unsubscribed') {
    el('granted').textContent = '–';
    showPosition(null);
  }
  if (detail.state === 'subscribed') {
    const granted = [detail.positioned && 'positioned', detail.recoverable && 'recoverable'].filter(Boolean);
    el('granted').textContent = granted.join(', ') || 'plain';
    if (!detail.recoverable && el('recovery').dataset.outcome === 'pending') {
      showRecovery('failed', 'subscribed again without recovery: what was missed is lost');
    }
  }
  el('channel-shown').textContent = connection.subscription?.channel ?? '–';
  refreshButtons();
});

connection.addEventListener('position', ({ detail }) => showPosition(detail));

connection.addEventListener('recovery', ({ detail: { recovered, count } }) => {
  if (recovered) showRecovery('ok', `recovered ${count} ${count === 1 ? 'publication' : 'publications'}`);
  else showRecovery('failed', 'not recovered: the missed publications are no longer in the history');
  addEvent('note', recovered ? `recovered ${count}` : 'not recovered', '');
});

el('channel-form').addEventListener('submit', (event) => {
  event.preventDefault();
  if (!el('channel').reportValidity()) return;
  location.hash = encodeURIComponent(el('channel').value);
  subscribe();
});

async function subscribe() {
  const options = {};
  for (const name of ['recoverable', 'positioned', 'join_leave']) {
    if (el(`option-${name}`).checked) options[name] = true;
  }
  showRecovery('', '');
  await report(connection.subscribe(el('channel').value, options));
}

el('unsubscribe').addEventListener('click', () => report(connection.unsubscribe()));
el('channel').addEventListener('input', showCurl);
window.addEventListener('hashchange', readHash);

function readHash() {
  const channel = safeDecode(location.hash.slice(1));
  if (channel) el('channel').value = channel;
  showCurl();
}

function safeDecode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // the address contains a lone %
  }
}

function showPosition(position) {
  el('offset').textContent = position ? String(position.offset) : '–';
  el('epoch').textContent = position?.epoch || '–';
}

function showRecovery(outcome, text) {
  el('recovery').dataset.outcome = outcome;
  el('recovery').textContent = text;
}

// --- publishing ---

el('publish-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const text = el('data').value;
  const channel = el('channel').value;
  const result = await report(connection.call('publish', { channel, data: asJSON(text) }));
  if (result && !connection.isSubscribed(channel)) {
    addEvent('note', `published to ${channel}, which this tab is not subscribed to`, '');
  }
});
el('data').addEventListener('input', showCurl);
el('data').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    el('publish-form').requestSubmit();
  }
});
el('copy-curl').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(el('curl').textContent);
    el('copy-curl').textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(el('curl')); // no clipboard without a secure origin: select it instead
  }
});

// What is not JSON is sent as a JSON string, so that plain words can be typed.
function asJSON(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function showCurl() {
  const text = el('data').value;
  const body = JSON.stringify({ channel: el('channel').value, data: asJSON(text) });
  el('curl').textContent = `curl ${location.origin}/api/publish -d '${body.replaceAll("'", `'\\''`)}'`;
  el('copy-curl').textContent = 'Copy';
  el('data-kind').textContent = text !== '' && typeof asJSON(text) === 'string' && !text.trim().startsWith('"') ? 'sent as a JSON string' : 'valid JSON';
}

// --- queries ---

const queries = {
  presence: () => ({}),
  presence_stats: () => ({}),
  history: () => ({ limit: Number(el('limit').value), ...(el('reverse').checked && { reverse: true }) }),
};
for (const [method, request] of Object.entries(queries)) {
  el(`query-${method}`).addEventListener('click', async () => {
    const result = await report(connection.call(method, { channel: el('channel').value, ...request() }));
    if (result) showResult(method, result);
  });
}

function showResult(method, result) {
  el('result-title').textContent = method;
  el('result').dataset.method = method;
  el('result').replaceChildren(...(renderers[method](result)));
}

const renderers = {
  presence: ({ presence }) => Object.values(presence).map((info) => {
    const mine = info.client === connection.client;
    return row(info.client, `${userName(info.user)}${mine ? ' · this tab' : ''}`, mine);
  }),
  presence_stats: (stats) => [row(String(stats.num_clients), 'connections'), row(String(stats.num_users), 'different users')],
  history: ({ publications, offset, epoch }) => [
    ...publications.map((pub) => row(`#${pub.offset}`, JSON.stringify(pub.data))),
    row('top', `offset ${offset}, epoch ${epoch}`, true),
  ],
};

function row(name, value, strong = false) {
  const item = document.createElement('li');
  if (strong) item.className = 'strong';
  item.append(span('name', name), span('value', value));
  return item;
}

// --- feed ---

connection.addEventListener('publication', ({ detail: { publication, recovered } }) => {
  const kind = recovered ? 'recovered' : 'publication';
  const from = publication.info ? `by ${shortInfo(publication.info)}` : 'by API';
  addEvent(kind, JSON.stringify(publication.data), `${publication.offset ? `#${publication.offset} ` : ''}${from}`);
});
connection.addEventListener('join', ({ detail }) => addEvent('join', shortInfo(detail.info), ''));
connection.addEventListener('leave', ({ detail }) => addEvent('leave', shortInfo(detail.info), ''));

const followEvents = followEnd(el('events'));
const labels = { publication: 'message', recovered: 'recovered', join: 'joined', leave: 'left', note: 'note', error: 'error' };

function addEvent(kind, text, meta) {
  const list = el('events');
  const item = document.createElement('li');
  item.className = `event ${kind}`;
  item.dataset.kind = kind;
  item.append(span('kind', labels[kind]), span('body', text), span('meta', `${meta} ${clock(new Date())}`.trim()));
  list.append(item);
  while (list.childElementCount > MAX_EVENTS) list.firstElementChild.remove();
  followEvents();
}

function span(className, text) {
  const node = document.createElement('span');
  node.className = className;
  node.textContent = text;
  return node;
}

function userName(user) {
  return user === '' ? 'anonymous' : `user ${user}`;
}

function shortInfo(info) {
  const mine = info.client === connection.client ? ' (this tab)' : '';
  return `${userName(info.user)} ${info.client.slice(0, 8)}${mine}`;
}

// --- everything ---

// Shows a command's error and resolves with undefined, or passes its result on.
async function report(promise) {
  try {
    return await promise;
  } catch (error) {
    addEvent('error', String(error), '');
    return undefined;
  }
}

function refreshButtons() {
  const { state, subscription } = connection;
  const connected = state === 'connected';
  el('connect').disabled = state === 'connected' || state === 'connecting';
  el('disconnect').disabled = state === 'disconnected';
  el('drop').disabled = !connected;
  el('unsubscribe').disabled = !subscription;
  for (const id of ['publish', 'query-presence', 'query-presence_stats', 'query-history']) el(id).disabled = !connected;
}

connection.addEventListener('frame', ({ detail }) => frames.add(detail.direction, detail.text));
el('frame-clear').addEventListener('click', () => frames.clear());
el('events-clear').addEventListener('click', () => el('events').replaceChildren());

readHash();
refreshButtons();
await loadTransports();
connection.connect();
subscribe();
