// Where the reader is, in the fragment of the address: #/channel?name=news

import { useEffect, useState } from 'preact/hooks';

export interface Route {
  page: string;
  params: URLSearchParams;
}

export function parse(hash: string): Route {
  const [page = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  return { page: page || 'nodes', params: new URLSearchParams(query) };
}

export function href(page: string, params: Record<string, string> = {}): string {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== '')).toString();
  return `#/${page}${query ? `?${query}` : ''}`;
}

export function go(page: string, params: Record<string, string> = {}) {
  location.hash = href(page, params);
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parse(location.hash));
  useEffect(() => {
    const changed = () => setRoute(parse(location.hash));
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}
