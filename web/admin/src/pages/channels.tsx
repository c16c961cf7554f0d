// The channels that have subscribers, found by a pattern.

import { useRef, useState } from 'preact/hooks';
import { count } from '../format';
import { href } from '../route';
import { call, commands } from '../session';
import { Pager, Problem, Table, Text, useLoad, useSettled } from '../ui';

const PAGE = 50; // channels
const INTERVAL = 5000; // ms

interface Row {
  channel: string;
  clients: number;
  /** Of the newest publication; undefined without history. */
  offset?: number;
  epoch?: string;
  /** Publications per second since the load before. */
  rate?: number;
}

interface Page {
  rows: Row[];
  total: number;
}

interface Position {
  offset: number;
  epoch: string;
  time: number;
}

const orders = {
  clients: (a: Row, b: Row) => b.clients - a.clients || a.channel.localeCompare(b.channel),
  name: (a: Row, b: Row) => a.channel.localeCompare(b.channel),
};

export function ChannelsPage({ params }: { params: URLSearchParams }) {
  const [pattern, setPattern] = useState(params.get('pattern') ?? '');
  const [order, setOrder] = useState<keyof typeof orders>('clients');
  const [page, setPage] = useState(0);
  const settled = useSettled(pattern);
  const positions = useRef(new Map<string, Position>());
  const { value, error } = useLoad((signal) => load(settled, order, page, positions.current, signal), `${settled} ${order} ${page}`, INTERVAL);
  const search = (text: string) => {
    setPattern(text);
    setPage(0);
    history.replaceState(null, '', href('channels', { pattern: text }));
  };
  return (
    <>
      <h1>Channels</h1>
      <form class="bar" role="search" onSubmit={(e) => e.preventDefault()}>
        <Text label="Pattern" value={pattern} onValue={search} placeholder="all channels" testid="pattern" hint="* stands for any characters, ? for one: chat:*" />
        <div class="field">
          <label for="order">Order</label>
          <select id="order" value={order} onChange={(e) => { setOrder(e.currentTarget.value as keyof typeof orders); setPage(0); }}>
            <option value="clients">subscribers</option>
            <option value="name">name</option>
          </select>
        </div>
      </form>
      <Open />
      <Problem text={error} />
      {value && <p aria-live="polite" data-testid="total">{count(value.total)} {value.total === 1 ? 'channel' : 'channels'} with subscribers</p>}
      <Table
        caption="Channels"
        rows={value?.rows ?? []}
        id={(row) => row.channel}
        empty={value ? 'No channel with subscribers matches.' : error ? '' : 'Loading…'}
        columns={[
          { title: 'Channel', cell: (row) => <a href={href('channel', { name: row.channel })}>{row.channel}</a> },
          { title: 'Subscribers', number: true, cell: (row) => count(row.clients) },
          { title: 'Published', number: true, cell: (row) => (row.offset === undefined ? 'no history' : count(row.offset)) },
          { title: 'Publications / s', number: true, cell: (row) => (row.rate === undefined ? '–' : count(row.rate)) },
        ]}
      />
      <Pager page={page} pages={Math.ceil((value?.total ?? 0) / PAGE)} onPage={setPage} />
    </>
  );
}

/** Leads to a channel that may have no subscribers. */
function Open() {
  const [name, setName] = useState('');
  return (
    <form class="bar" onSubmit={(e) => { e.preventDefault(); if (name) location.hash = href('channel', { name }); }}>
      <Text label="Open a channel" value={name} onValue={setName} placeholder="its name" testid="open" />
      <button>Open</button>
    </form>
  );
}

async function load(pattern: string, order: keyof typeof orders, page: number, positions: Map<string, Position>, signal: AbortSignal): Promise<Page> {
  const { channels } = await call<{ channels: Record<string, { num_clients?: number }> }>('channels', { pattern }, signal);
  const all = Object.entries(channels).map(([channel, { num_clients: clients = 0 }]): Row => ({ channel, clients })).sort(orders[order]);
  const rows = all.slice(page * PAGE, (page + 1) * PAGE);
  const replies = await commands(rows.map(({ channel }) => ({ method: 'history', params: { channel, limit: 0 } })), signal);
  const time = Date.now() / 1000;
  rows.forEach((row, i) => {
    const result = replies[i]?.result as { offset?: number; epoch?: string } | undefined;
    if (!result?.epoch) return;
    row.offset = result.offset ?? 0;
    const before = positions.get(row.channel);
    if (before?.epoch === result.epoch && time > before.time) row.rate = Math.max(0, row.offset - before.offset) / (time - before.time);
    positions.set(row.channel, { offset: row.offset, epoch: result.epoch, time });
  });
  return { rows, total: all.length };
}
