// One channel: live tail, history, presence, and a form to publish.

import { useEffect, useRef, useState } from 'preact/hooks';
import { clock, count, curl, json } from '../format';
import { Live, type Info, type LiveState, type Publication } from '../live';
import { href } from '../route';
import { call } from '../session';
import { Code, Confirmed, Notice, Problem, Table, Text, textOf, useLoad } from '../ui';

export function ChannelPage({ params }: { params: URLSearchParams }) {
  const channel = params.get('name') ?? '';
  const [changes, setChanges] = useState(0);
  return (
    <>
      <p><a href={href('channels')}>Channels</a></p>
      <h1>{channel}</h1>
      <div class="columns">
        <Tail channel={channel} onChange={() => setChanges((n) => n + 1)} />
        <div>
          <Publish channel={channel} />
          <Presence channel={channel} changes={changes} />
        </div>
      </div>
      <History channel={channel} />
    </>
  );
}

const KEPT = 200; // entries of the tail

interface Entry {
  n: number;
  time: number;
  kind: 'publication' | 'recovered' | 'join' | 'leave' | 'gap';
  text: string;
  detail: string;
}

const who = (info?: Info) => [info?.user || 'anonymous', info?.client].filter(Boolean).join(' · ');

function describe(publication: Publication): string {
  return [
    publication.offset ? `offset ${publication.offset}` : '',
    publication.info ? `from ${who(publication.info)}` : '',
    publication.tags ? Object.entries(publication.tags).map(([key, value]) => `${key}=${value}`).join(' ') : '',
  ].filter(Boolean).join(' · ');
}

function Tail({ channel, onChange }: { channel: string; onChange(): void }) {
  const [entries, setEntries] = useState<Entry[]>([]);
  const [state, setState] = useState<LiveState>('connecting');
  const [detail, setDetail] = useState('');
  const [paused, setPaused] = useState(false);
  const live = useRef({ paused: false, n: 0 });
  live.current.paused = paused;
  useEffect(() => {
    const add = (kind: Entry['kind'], text: string, more: string) => {
      live.current.n++;
      if (live.current.paused) return;
      const entry = { n: live.current.n, time: Date.now(), kind, text, detail: more };
      setEntries((list) => [entry, ...list].slice(0, KEPT));
    };
    const connection = new Live(channel, {
      state: (s, d) => { setState(s); setDetail(d); },
      publication: (p, recovered) => add(recovered ? 'recovered' : 'publication', json(p.data), describe(p)),
      join: (info) => { add('join', who(info), ''); onChange(); },
      leave: (info) => { add('leave', who(info), ''); onChange(); },
      gap: () => add('gap', 'Publications are missing here: the history does not reach back to the last one seen.', ''),
    });
    connection.start();
    return () => connection.stop();
  }, [channel]);
  return (
    <section aria-labelledby="tail">
      <div class="bar">
        <h2 id="tail">Live</h2>
        <span class={`badge ${state}`} data-testid="live-state" role="status">{state}</span>
        <button type="button" class="quiet" aria-pressed={paused} onClick={() => setPaused(!paused)}>{paused ? 'Continue' : 'Pause'}</button>
        <button type="button" class="quiet" onClick={() => setEntries([])}>Clear</button>
      </div>
      {detail && <Notice kind={state === 'refused' ? 'error' : 'warning'}>{detail}</Notice>}
      <ol class="tail" tabIndex={0} aria-label="What happens in the channel, newest first" data-testid="tail">
        {entries.map((entry) => (
          <li key={entry.n} data-kind={entry.kind}>
            <span class="meta"><time>{clock(entry.time)}</time> <b>{entry.kind}</b> {entry.detail}</span>
            <pre>{entry.text}</pre>
          </li>
        ))}
      </ol>
      {entries.length === 0 && <p class="empty">Nothing has happened since this page was opened.</p>}
    </section>
  );
}

function Publish({ channel }: { channel: string }) {
  const [data, setData] = useState('{"text": "hello"}');
  const [error, setError] = useState('');
  const [done, setDone] = useState('');
  let parsed: unknown;
  let invalid = '';
  try {
    parsed = JSON.parse(data);
  } catch (e) {
    invalid = textOf(e);
  }
  const submit = async (event: Event) => {
    event.preventDefault();
    setDone('');
    setError(invalid && `The data is not JSON: ${invalid}`);
    if (invalid) return;
    try {
      const { offset } = await call<{ offset?: number }>('publish', { channel, data: parsed });
      setDone(offset ? `Published with offset ${offset}.` : 'Published.');
    } catch (e) {
      setError(textOf(e));
    }
  };
  return (
    <section aria-labelledby="publish">
      <h2 id="publish">Publish</h2>
      <form onSubmit={submit}>
        <Text label="Data, JSON" value={data} onValue={setData} rows={3} testid="data" />
        <button class="primary" data-testid="publish">Publish</button>
        <Problem text={error} />
        {done && <Notice kind="good">{done}</Notice>}
      </form>
      {!invalid && <Code label="curl command" text={curl('publish', { channel, data: parsed })} />}
    </section>
  );
}

function Presence({ channel, changes }: { channel: string; changes: number }) {
  const { value, error, reload } = useLoad((signal) => call<{ presence: Record<string, Info> }>('presence', { channel }, signal), `${channel} ${changes}`);
  const rows = Object.entries(value?.presence ?? {}).map(([client, info]) => ({ ...info, client }));
  return (
    <section aria-labelledby="presence">
      <div class="bar">
        <h2 id="presence">Presence</h2>
        {value && <span class="badge">{count(rows.length)}</span>}
        <button type="button" class="quiet" onClick={reload}>Reload</button>
      </div>
      {error === 'not available' ? <p class="empty">Presence is off for this channel.</p> : <Problem text={error} />}
      {value && (
        <Table
          caption="Presence"
          rows={rows}
          id={(row) => row.client}
          empty="There are no clients."
          columns={[
            { title: 'Client', cell: (row) => <a href={href('connections', { client: row.client })} class="id">{row.client}</a> },
            { title: 'User', cell: (row) => row.user || 'anonymous' },
            { title: 'Info', cell: (row) => <code>{[row.conn_info, row.chan_info].filter((x) => x !== undefined).map((x) => JSON.stringify(x)).join(' ')}</code> },
          ]}
        />
      )}
    </section>
  );
}

interface HistoryResult {
  publications: Publication[];
  offset: number;
  epoch: string;
}

const HISTORY_PAGE = 20; // publications

function History({ channel }: { channel: string }) {
  const [before, setBefore] = useState(0); // exclusive offset of the first row; 0 is the newest
  const [error, setError] = useState('');
  const loaded = useLoad(async (signal) => {
    if (before === 0) return await call<HistoryResult>('history', { channel, limit: HISTORY_PAGE, reverse: true }, signal);
    const { epoch } = await call<HistoryResult>('history', { channel, limit: 0 }, signal);
    return await call<HistoryResult>('history', { channel, limit: HISTORY_PAGE, reverse: true, since: { offset: before, epoch } }, signal);
  }, `${channel} ${before}`);
  const { value, reload } = loaded;
  const remove = async () => {
    try {
      await call('history_remove', { channel });
      setBefore(0);
      reload();
    } catch (e) {
      setError(textOf(e));
    }
  };
  const oldest = value?.publications.at(-1)?.offset ?? 0;
  return (
    <section aria-labelledby="history">
      <div class="bar">
        <h2 id="history">History</h2>
        {value && <span class="badge" data-testid="position">offset {value.offset}, epoch {value.epoch || 'none'}</span>}
        <button type="button" class="quiet" onClick={() => { setBefore(0); reload(); }}>Newest</button>
        <button type="button" class="quiet" disabled={oldest <= 1 || (value?.publications.length ?? 0) < HISTORY_PAGE} onClick={() => setBefore(oldest)}>Older</button>
        <Confirmed label="Remove the history" question={`Remove all publications from the history of ${channel}?`} onConfirm={remove} />
      </div>
      {loaded.error === 'not available' ? <p class="empty">History is off for this channel.</p> : <Problem text={loaded.error || error} />}
      {value && (
        <Table
          caption="History"
          rows={value.publications}
          id={(p) => String(p.offset)}
          empty="The history is empty."
          columns={[
            { title: 'Offset', number: true, cell: (p) => <a href={href('trace', { channel, offset: String(p.offset) })} title="Who has received it">{p.offset}</a> },
            { title: 'Data', cell: (p) => <code>{JSON.stringify(p.data)}</code> },
            { title: 'From', cell: (p) => (p.info ? who(p.info) : 'the server API') },
            { title: 'Tags', cell: (p) => (p.tags ? <code>{JSON.stringify(p.tags)}</code> : '') },
          ]}
        />
      )}
    </section>
  );
}
