// The nodes of the cluster, with rates.

import { useRef } from 'preact/hooks';
import { bytes, count, duration } from '../format';
import { Plot } from '../plot';
import { view } from '../session';
import { Notice, Problem, Table, useLoad } from '../ui';

const INTERVAL = 2000; // ms
const LENGTH = 60; // values of a plot

/** Figures of a node; counters since its start. */
interface Vitals {
  id: string;
  name: string;
  version: string;
  uptime: number;
  time: number;
  clients: number;
  users: number;
  channels: number;
  subscriptions: number;
  cpu_seconds: number;
  memory: number;
  goroutines: number;
  received: number;
  received_bytes: number;
  sent: number;
  sent_bytes: number;
  published: number;
}

interface Nodes {
  nodes: Vitals[];
  missing?: string[];
}

const rates = {
  received: { label: 'Messages from clients / s', of: (v: Vitals) => v.received, format: count },
  sent: { label: 'Messages to clients / s', of: (v: Vitals) => v.sent, format: count },
  published: { label: 'Publications / s', of: (v: Vitals) => v.published, format: count },
  receivedBytes: { label: 'Bytes from clients / s', of: (v: Vitals) => v.received_bytes, format: bytes },
  sentBytes: { label: 'Bytes to clients / s', of: (v: Vitals) => v.sent_bytes, format: bytes },
  cpu: { label: 'CPU, % of a core', of: (v: Vitals) => 100 * v.cpu_seconds, format: (n: number) => `${count(n)} %` },
};
const gauges = {
  memory: { label: 'Memory', of: (v: Vitals) => v.memory, format: bytes },
  clients: { label: 'Connections', of: (v: Vitals) => v.clients, format: count },
};

/** Values of the plots of a node. */
class History {
  private last: Vitals | undefined;
  readonly values = new Map<string, number[]>();

  add(v: Vitals) {
    if (v.time === this.last?.time) return;
    if (this.last && v.time > this.last.time && v.uptime >= this.last.uptime) {
      const seconds = v.time - this.last.time;
      for (const [name, { of }] of Object.entries(rates)) this.put(name, Math.max(0, (of(v) - of(this.last)) / seconds));
    }
    for (const [name, { of }] of Object.entries(gauges)) this.put(name, of(v));
    this.last = v;
  }

  private put(name: string, value: number) {
    this.values.set(name, [...this.values.get(name) ?? [], value].slice(-LENGTH));
  }
}

export function NodesPage() {
  const histories = useRef(new Map<string, History>());
  const { value, error } = useLoad((signal) => view<Nodes>('nodes', signal), 'nodes', INTERVAL);
  const nodes = [...value?.nodes ?? []].sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
  for (const node of nodes) {
    if (!histories.current.has(node.id)) histories.current.set(node.id, new History());
    histories.current.get(node.id)?.add(node);
  }
  const sum = (of: (v: Vitals) => number) => nodes.reduce((total, node) => total + of(node), 0);
  return (
    <>
      <h1>Nodes</h1>
      <Problem text={error} />
      {value?.missing && value.missing.length > 0 && <Notice kind="warning">No answer from {value.missing.join(', ')}.</Notice>}
      {value && (
        <ul class="totals" aria-label="Totals of all nodes">
          <li><strong>{count(nodes.length)}</strong> {nodes.length === 1 ? 'node' : 'nodes'}</li>
          <li><strong>{count(sum((v) => v.clients))}</strong> connections</li>
          <li><strong>{count(sum((v) => v.subscriptions))}</strong> subscriptions</li>
          <li><strong>{bytes(sum((v) => v.memory))}</strong> memory</li>
        </ul>
      )}
      <Table
        caption="Nodes"
        rows={nodes}
        id={(v) => v.name}
        empty={value ? 'There are no nodes.' : 'Loading…'}
        columns={[
          { title: 'Name', cell: (v) => <>{v.name}<small class="id">{v.id}</small></> },
          { title: 'Version', cell: (v) => v.version },
          { title: 'Uptime', cell: (v) => duration(v.uptime) },
          { title: 'Clients', number: true, cell: (v) => count(v.clients) },
          { title: 'Users', number: true, cell: (v) => count(v.users) },
          { title: 'Channels', number: true, cell: (v) => count(v.channels) },
          { title: 'Subscriptions', number: true, cell: (v) => count(v.subscriptions) },
          { title: 'CPU', number: true, cell: (v) => latest(histories.current.get(v.id), 'cpu', rates.cpu.format) },
          { title: 'Memory', number: true, cell: (v) => bytes(v.memory) },
          { title: 'Goroutines', number: true, cell: (v) => count(v.goroutines) },
        ]}
      />
      {nodes.map((node) => (
        <section key={node.id} class="plots" aria-label={`Rates of ${node.name}`} data-node={node.name}>
          <h2>{node.name}</h2>
          {Object.entries({ ...rates, ...gauges }).map(([name, { label, format }]) => (
            <Plot key={name} label={label} format={format} length={LENGTH} values={histories.current.get(node.id)?.values.get(name) ?? []} />
          ))}
        </section>
      ))}
    </>
  );
}

function latest(history: History | undefined, name: string, format: (n: number) => string): string {
  const value = history?.values.get(name)?.at(-1);
  return value === undefined ? '–' : format(value);
}
