// Connections, found by user or client id on any node.

import { useState } from 'preact/hooks';
import { bytes, count, duration, moment } from '../format';
import { href } from '../route';
import { call } from '../session';
import { Confirmed, Notice, Problem, Table, Text, textOf, useLoad, useSettled } from '../ui';

const PAGE = 50; // connections
const INTERVAL = 5000; // ms
const NAMES_INTERVAL = 30_000; // ms

interface Channel {
  server_side?: boolean;
  recoverable?: boolean;
  positioned?: boolean;
  presence?: boolean;
  offset?: number;
  epoch?: string;
  expire_at?: number;
}

interface Connection {
  app_name?: string;
  app_version?: string;
  transport: string;
  protocol: string;
  user: string;
  node: string;
  info?: unknown;
  expire_at?: number;
  connected_at?: number;
  queued_bytes?: number;
  last_ping?: number;
  pong_missing?: boolean;
  state?: { channels?: Record<string, Channel> };
}

interface Result {
  connections: Record<string, Connection>;
  cursor?: string;
}

/** The names of the nodes, by their ids. */
function useNames() {
  const { value } = useLoad((signal) => call<{ nodes: { uid: string; name: string }[] }>('info', {}, signal), '', NAMES_INTERVAL);
  return new Map(value?.nodes.map(({ uid, name }) => [uid, name]));
}

export function ConnectionsPage({ params }: { params: URLSearchParams }) {
  const [user, setUser] = useState(params.get('user') ?? '');
  const [client, setClient] = useState(params.get('client') ?? '');
  const [cursors, setCursors] = useState<string[]>(['']); // of the pages so far
  const [opened, setOpened] = useState(params.get('client') ?? '');
  const query = useSettled(JSON.stringify({ user, client: client.trim() }));
  const cursor = cursors.at(-1) ?? '';
  const { value, error, reload } = useLoad(
    (signal) => call<Result>('connections', { ...JSON.parse(query) as object, limit: PAGE, cursor }, signal), `${query} ${cursor}`, INTERVAL,
  );
  const names = useNames();
  const find = (set: (text: string) => void, params: Record<string, string>) => (text: string) => {
    set(text);
    setCursors(['']);
    const name = Object.keys(params)[0]!;
    history.replaceState(null, '', href('connections', { ...params, [name]: text }));
  };
  const rows = Object.entries(value?.connections ?? {}).map(([id, connection]) => ({ id, ...connection }));
  const row = rows.find(({ id }) => id === opened);
  return (
    <>
      <h1>Connections</h1>
      <form class="bar" role="search" onSubmit={(e) => e.preventDefault()}>
        <Text label="User" value={user} onValue={find(setUser, { user: '', client })} placeholder="all users" testid="user" />
        <Text label="Client id" value={client} onValue={find(setClient, { client: '', user })} placeholder="all clients" testid="client" />
      </form>
      <Problem text={error} />
      <Table
        caption="Connections"
        rows={rows}
        id={({ id }) => id}
        empty={value ? 'No connection matches.' : error ? '' : 'Loading…'}
        columns={[
          { title: 'Client', cell: ({ id }) => <button type="button" class="link id" aria-expanded={id === opened} onClick={() => setOpened(id === opened ? '' : id)}>{id}</button> },
          { title: 'User', cell: (c) => c.user || 'anonymous' },
          { title: 'SDK', cell: (c) => [c.app_name, c.app_version].filter(Boolean).join(' ') || '–' },
          { title: 'Transport', cell: (c) => `${c.transport}, ${c.protocol}` },
          { title: 'Subscriptions', number: true, cell: (c) => count(Object.keys(c.state?.channels ?? {}).length) },
          { title: 'Queue', number: true, cell: (c) => bytes(c.queued_bytes ?? 0) },
          { title: 'Connected for', cell: (c) => (c.connected_at ? duration(Date.now() / 1000 - c.connected_at) : '–') },
          { title: 'Node', cell: (c) => names.get(c.node) || <span class="id">{c.node}</span> },
        ]}
      />
      <nav class="pager" aria-label="Pages">
        <button type="button" disabled={cursors.length === 1} onClick={() => setCursors(cursors.slice(0, -1))}>Previous</button>
        <span>Page {cursors.length}</span>
        <button type="button" disabled={!value?.cursor} onClick={() => setCursors([...cursors, value?.cursor ?? ''])}>Next</button>
      </nav>
      {row && <Detail key={row.id} id={row.id} connection={row} node={names.get(row.node)} onChange={reload} />}
    </>
  );
}

function Detail({ id, connection: c, node, onChange }: { id: string; connection: Connection; node: string | undefined; onChange(): void }) {
  const [error, setError] = useState('');
  const [done, setDone] = useState('');
  const [minutes, setMinutes] = useState('10');
  const act = async (what: string, method: string, params: object) => {
    setError('');
    setDone('');
    try {
      await call(method, { user: c.user, client: id, ...params });
      setDone(what);
      onChange();
    } catch (e) {
      setError(textOf(e));
    }
  };
  const channels = Object.entries(c.state?.channels ?? {}).map(([name, channel]) => ({ name, ...channel }));
  const facts: [string, string][] = [
    ['User', c.user || 'anonymous'],
    ['Node', node ? `${node} (${c.node})` : c.node],
    ['Connected at', c.connected_at ? moment(c.connected_at) : '–'],
    ['Last ping', c.last_ping ? `${moment(c.last_ping)}${c.pong_missing ? ', not answered yet' : ''}` : '–'],
    ['Expires', c.expire_at ? moment(c.expire_at) : 'never'],
    ['Info', c.info === undefined ? '–' : JSON.stringify(c.info)],
  ];
  return (
    <section aria-label={`Connection ${id}`} data-testid="connection">
      <h2 class="id">{id}</h2>
      <dl>{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
      <Table
        caption="Subscriptions"
        rows={channels}
        id={({ name }) => name}
        empty="It has no subscriptions."
        columns={[
          { title: 'Channel', cell: (s) => <a href={href('channel', { name: s.name })}>{s.name}</a> },
          { title: 'Position', cell: (s) => (s.positioned ? `${s.offset ?? 0} in ${s.epoch}` : '–') },
          { title: 'Made by', cell: (s) => (s.server_side ? 'server' : 'client') },
          { title: 'Features', cell: (s) => [s.recoverable && 'recoverable', s.presence && 'presence'].filter(Boolean).join(', ') || '–' },
          { title: 'Expires', cell: (s) => (s.expire_at ? moment(s.expire_at) : 'never') },
          { title: '', cell: (s) => <Confirmed label="Unsubscribe" question={`Unsubscribe ${id} from ${s.name}?`} onConfirm={() => act(`Unsubscribed from ${s.name}.`, 'unsubscribe', { channel: s.name })} /> },
        ]}
      />
      <form class="bar" onSubmit={(e) => { e.preventDefault(); void act('Refreshed.', 'refresh', { expire_at: Math.floor(Date.now() / 1000 + 60 * Number(minutes)) }); }}>
        <Text label="Expire in, minutes" type="number" value={minutes} onValue={setMinutes} required />
        <button>Refresh</button>
        <a href={href('trace', { client: id })}>Trace what it receives</a>
        <Confirmed label="Disconnect" question={`Disconnect ${id}? The client is told not to reconnect.`} onConfirm={() => act('Disconnected.', 'disconnect', {})} />
      </form>
      <Problem text={error} />
      {done && <Notice kind="good">{done}</Notice>}
    </section>
  );
}
