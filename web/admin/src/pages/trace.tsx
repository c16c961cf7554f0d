// Why was this message not seen? Traces are started here, and asked.

import { useState } from 'preact/hooks';
import { count, exact, moment } from '../format';
import { href } from '../route';
import { call } from '../session';
import { Check, Code, Field, Notice, Problem, Table, Text, textOf, useLoad } from '../ui';

const INTERVAL = 5000; // ms
const MINUTE = 60_000; // ms
const LIMIT = 200; // publications, clients and events of an answer, each

const kinds = ['channel', 'user', 'client'] as const;
type Kind = typeof kinds[number];

interface Trace {
  channel?: string;
  user?: string;
  client?: string;
  data?: boolean;
  recording?: boolean;
  ends_at: number;
  events: number;
  dropped?: number;
}

interface TraceNode {
  node: string;
  name?: string;
  error?: string;
  note?: string;
  subscribers?: number;
  traces?: Trace[];
}

interface Outcome {
  channel: string;
  offset?: number;
  time?: number;
  verdict: string;
  text: string;
}

interface Answer {
  nodes: TraceNode[];
  publications?: { channel: string; offset?: number; time?: number; text: string }[];
  clients?: { client?: string; user?: string; node?: string; verdict: string; text: string; outcomes?: Outcome[] }[];
  events?: { time: number; node: string; kind: string; client?: string; user?: string; text: string; data?: unknown }[];
  more_publications?: number;
  more_clients?: number;
  more_events?: number;
}

export function TracePage({ params }: { params: URLSearchParams }) {
  const traces = useLoad((signal) => call<Answer>('trace_query', {}, signal), '', INTERVAL);
  return (
    <>
      <h1>Why was this message not seen?</h1>
      <Problem text={traces.error} />
      <Recording params={params} nodes={traces.value?.nodes} onChange={traces.reload} />
      <Question params={params} />
    </>
  );
}

/** What a trace is about, and what to pass to the API for it. */
function subject(trace: Trace): [Kind, string] {
  const kind = kinds.find((kind) => trace[kind]) ?? 'channel';
  return [kind, trace[kind] ?? ''];
}

interface Row extends Trace {
  id: string;
  nodes: number;
}

/** The traces of all nodes, those that concern the same as one. */
function rowsOf(nodes: TraceNode[]): Row[] {
  const rows = new Map<string, Row>();
  for (const trace of nodes.flatMap((node) => node.traces ?? [])) {
    const id = subject(trace).join(' ');
    const row = rows.get(id) ?? { ...trace, id, events: 0, dropped: 0, nodes: 0 };
    row.events += trace.events;
    row.dropped = (row.dropped ?? 0) + (trace.dropped ?? 0);
    row.recording ||= trace.recording;
    row.nodes++;
    rows.set(id, row);
  }
  return [...rows.values()].sort((a, b) => a.id.localeCompare(b.id));
}

function Recording({ params, nodes, onChange }: { params: URLSearchParams; nodes: TraceNode[] | undefined; onChange(): void }) {
  const [kind, setKind] = useState<Kind>(kinds.find((kind) => params.get(kind)) ?? 'channel');
  const [name, setName] = useState(params.get(kind) ?? '');
  const [minutes, setMinutes] = useState('10');
  const [data, setData] = useState(false);
  const [error, setError] = useState('');
  const act = async (method: string, request: object) => {
    setError('');
    try {
      const failed = (await call<Answer>(method, request)).nodes.filter((node) => node.error);
      setError(failed.map((node) => `${node.name ?? node.node}: ${node.error}`).join(', '));
    } catch (e) {
      setError(textOf(e));
    }
    onChange();
  };
  const start = (e: Event) => {
    e.preventDefault();
    void act('trace_start', { [kind]: name, duration: Math.round(Number(minutes) * 60), data });
  };
  return (
    <section aria-label="Traces" data-testid="traces">
      <h2>Record</h2>
      <p>Only what happens during a trace is known. A trace of a channel knows who published and what became of it for everybody; one of a user or a client
        also knows when their connections began and ended.</p>
      <form class="bar" onSubmit={start}>
        <Field label="Trace">
          {(id) => (
            <select id={id} value={kind} onChange={(e) => setKind(e.currentTarget.value as Kind)}>
              {kinds.map((kind) => <option key={kind}>{kind}</option>)}
            </select>
          )}
        </Field>
        <Text label="Name or id" value={name} onValue={setName} required testid="trace-name" />
        <Text label="Minutes" type="number" value={minutes} onValue={setMinutes} required />
        <Check label="Keep payloads" checked={data} onChecked={setData} />
        <button class="primary">Start</button>
      </form>
      <Problem text={error} />
      {nodes && (
        <Table
          caption="Traces"
          rows={rowsOf(nodes)}
          id={({ id }) => id}
          empty="Nothing is traced."
          columns={[
            { title: 'Trace', cell: (t) => subject(t).join(' ') },
            { title: 'Until', cell: (t) => <>{moment(t.ends_at / 1000)} {t.recording && <span class="badge live">recording</span>}</> },
            { title: 'Payloads', cell: (t) => (t.data ? 'kept' : 'not kept') },
            { title: 'Events', number: true, cell: (t) => `${count(t.events)}${t.dropped ? `, ${count(t.dropped)} older ones dropped` : ''}` },
            { title: 'Nodes', number: true, cell: (t) => `${t.nodes} of ${nodes.length}` },
            { title: '', cell: (t) => t.recording && <button type="button" onClick={() => act('trace_stop', Object.fromEntries([subject(t)]))}>Stop</button> },
          ]}
        />
      )}
    </section>
  );
}

const fields = ['channel', 'offset', 'from', 'to', 'user', 'client'] as const;
type Fields = Record<typeof fields[number], string>;

/** The parameters of trace_query. A field of time has minutes, of which the last one is included. */
function request(f: Fields): object {
  return {
    channel: f.channel, user: f.user, client: f.client.trim(), limit: LIMIT,
    offset: f.offset ? Number(f.offset) : undefined,
    from: f.from ? Date.parse(f.from) : undefined,
    to: f.to ? Date.parse(f.to) + MINUTE - 1 : undefined,
  };
}

function Question({ params }: { params: URLSearchParams }) {
  const given = Object.fromEntries(fields.map((name) => [name, params.get(name) ?? ''])) as Fields;
  const [form, setForm] = useState(given);
  const [asked, setAsked] = useState(Object.values(given).some(Boolean) ? given : undefined);
  const { value, error, loading, reload } = useLoad(
    async (signal) => (asked ? call<Answer>('trace_query', request(asked), signal) : undefined), JSON.stringify(asked ?? null),
  );
  const set = (name: keyof Fields) => (text: string) => setForm({ ...form, [name]: text });
  const ask = (e: Event) => {
    e.preventDefault();
    history.replaceState(null, '', href('trace', form));
    setAsked(form);
    reload();
  };
  return (
    <section aria-label="Question" data-testid="question">
      <h2>Ask</h2>
      <form class="bar" role="search" onSubmit={ask}>
        <Text label="Channel" value={form.channel} onValue={set('channel')} placeholder="all" testid="trace-channel" />
        <Text label="Offset" type="number" value={form.offset} onValue={set('offset')} placeholder="any" testid="trace-offset" />
        <Text label="From" type="datetime-local" value={form.from} onValue={set('from')} />
        <Text label="To" type="datetime-local" value={form.to} onValue={set('to')} />
        <Text label="User" value={form.user} onValue={set('user')} placeholder="all" testid="trace-user" />
        <Text label="Client id" value={form.client} onValue={set('client')} placeholder="all" testid="trace-client" />
        <button class="primary" disabled={!form.channel && !form.user && !form.client}>Ask</button>
      </form>
      <Problem text={error} />
      {asked && !value && loading && <p class="empty">Asking all nodes…</p>}
      {value && <Explanation answer={value} />}
    </section>
  );
}

const seen = ['written', 'recovered'];
const waiting = ['queued', 'postponed', 'held', 'mixed', 'unknown'];

function Verdict({ name }: { name: string }) {
  const kind = seen.includes(name) ? 'live' : waiting.includes(name) ? 'waiting' : 'refused';
  return <span class={`badge ${kind}`}>{name.replaceAll('_', ' ')}</span>;
}

const more = (n: number | undefined, what: string) => (n ? <p class="empty">{count(n)} more {what} are not shown.</p> : null);

function Explanation({ answer }: { answer: Answer }) {
  const { nodes, publications = [], clients = [], events = [] } = answer;
  const names = new Map(nodes.map(({ node, name }) => [node, name || node]));
  const notes = nodes.filter((node) => node.error || node.note);
  return (
    <div aria-live="polite" data-testid="answer">
      {notes.map((node) => <Notice key={node.node} kind={node.error ? 'warning' : 'info'}>{names.get(node.node)}: {node.error ?? node.note}</Notice>)}
      <h2>Publications</h2>
      <Table
        caption="Publications"
        rows={publications.map((p, i) => ({ ...p, id: `${i}` }))}
        id={({ id }) => id}
        empty="No publication was recorded."
        columns={[
          { title: 'Published', cell: (p) => (p.time ? exact(p.time) : '–') },
          { title: 'Channel', cell: (p) => <a href={href('channel', { name: p.channel })}>{p.channel}</a> },
          { title: 'Offset', number: true, cell: (p) => p.offset ?? '–' },
          { title: 'What happened', cell: (p) => p.text },
        ]}
      />
      {more(answer.more_publications, 'publications')}
      <h2>Clients</h2>
      <Table
        caption="Clients"
        rows={clients.map((c, i) => ({ ...c, id: c.client ?? `${i}` }))}
        id={({ id }) => id}
        empty="No client was concerned."
        columns={[
          { title: 'Verdict', cell: (c) => <Verdict name={c.verdict} /> },
          { title: 'User', cell: (c) => c.user || 'anonymous' },
          { title: 'Client', cell: (c) => (c.client ? <a class="id" href={href('connections', { client: c.client })}>{c.client}</a> : '–') },
          { title: 'Node', cell: (c) => (c.node ? names.get(c.node) ?? c.node : '–') },
          { title: 'Why', cell: (c) => <>{c.text}<Outcomes list={c.outcomes} /></> },
        ]}
      />
      {more(answer.more_clients, 'clients')}
      <details>
        <summary>{count(events.length)} events</summary>
        <Table
          caption="Events"
          rows={events.map((e, i) => ({ ...e, id: `${i}` }))}
          id={({ id }) => id}
          columns={[
            { title: 'Time', cell: (e) => exact(e.time) },
            { title: 'Node', cell: (e) => names.get(e.node) ?? e.node },
            { title: 'Client', cell: (e) => <span class="id">{e.client ?? '–'}</span> },
            { title: 'Event', cell: (e) => <>{e.text}{e.data !== undefined && <Code text={JSON.stringify(e.data)} label="the payload" />}</> },
          ]}
        />
        {more(answer.more_events, 'events')}
      </details>
    </div>
  );
}

function Outcomes({ list = [] }: { list?: Outcome[] }) {
  if (list.length === 0) return null;
  return (
    <ul class="outcomes">
      {list.map((o, i) => <li key={i}><Verdict name={o.verdict} /> {o.channel} {o.offset ?? (o.time ? exact(o.time) : '')}: {o.text}</li>)}
    </ul>
  );
}
