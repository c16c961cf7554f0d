// The admin interface: log-in, navigation, and the page that the address names.

import { render, type FunctionComponent } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ActionsPage } from './pages/actions';
import { ChannelPage } from './pages/channel';
import { ChannelsPage } from './pages/channels';
import { ConfigurationPage } from './pages/configuration';
import { ConnectionsPage } from './pages/connections';
import { LogInPage } from './pages/login';
import { NodesPage } from './pages/nodes';
import { TracePage } from './pages/trace';
import { WarningsPage } from './pages/warnings';
import { href, useRoute } from './route';
import { init, logOut, onExpired, type Init } from './session';
import { Notice, Problem, textOf } from './ui';

interface Page {
  name: string;
  title: string;
  page: FunctionComponent<{ params: URLSearchParams }>;
}

const pages: Page[] = [
  { name: 'nodes', title: 'Nodes', page: NodesPage },
  { name: 'channels', title: 'Channels', page: ChannelsPage },
  { name: 'connections', title: 'Connections', page: ConnectionsPage },
  { name: 'trace', title: 'Traces', page: TracePage },
  { name: 'actions', title: 'Actions', page: ActionsPage },
  { name: 'configuration', title: 'Configuration', page: ConfigurationPage },
  { name: 'warnings', title: 'Warnings', page: WarningsPage },
];

/** Reached from the list of channels. */
const channelPage: Page = { name: 'channels', title: 'Channel', page: ChannelPage };

function App() {
  const [state, setState] = useState<Init>();
  const [error, setError] = useState('');
  const load = () => init().then(setState, (e) => setError(textOf(e)));
  useEffect(() => {
    onExpired(() => setState((s) => s && { ...s, authenticated: false }));
    void load();
  }, []);
  if (error) return <main class="login"><Problem text={error} /></main>;
  if (!state) return null;
  if (!state.authenticated) return <LogInPage onLogIn={load} />;
  return <Frame insecure={state.insecure} />;
}

function Frame({ insecure }: { insecure: boolean }) {
  const route = useRoute();
  const current = pages.find(({ name }) => name === route.page) ?? (route.page === 'channel' ? channelPage : pages[0]!);
  useEffect(() => { document.title = `${current.title} – Centrifugo admin`; }, [current.title]);
  return (
    <>
      <a class="skip" href="#content" onClick={(e) => { e.preventDefault(); document.getElementById('content')?.focus(); }}>Skip to the content</a>
      <header>
        <strong class="brand">Centrifugo</strong>
        <nav aria-label="Pages of the admin interface">
          {pages.map(({ name, title }) => <a key={name} href={href(name)} aria-current={name === current.name ? 'page' : undefined}>{title}</a>)}
        </nav>
        <Theme />
        {!insecure && <button type="button" class="quiet" onClick={logOut}>Log out</button>}
      </header>
      {insecure && <Notice kind="warning">INSECURE: admin.insecure is on. Everybody who reaches this page controls the server.</Notice>}
      <main id="content" tabIndex={-1}><current.page key={`${route.page} ${route.params}`} params={route.params} /></main>
    </>
  );
}

const THEME = 'centrifugo.admin.theme';
const themes = ['auto', 'light', 'dark'];

function Theme() {
  const [theme, setTheme] = useState(localStorage.getItem(THEME) ?? 'auto');
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(THEME, theme);
  }, [theme]);
  return (
    <select class="quiet" aria-label="Colours" value={theme} onChange={(e) => setTheme(e.currentTarget.value)}>
      {themes.map((name) => <option key={name} value={name}>{name}</option>)}
    </select>
  );
}

render(<App />, document.getElementById('app')!);
