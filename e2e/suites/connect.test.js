// Connecting: tokens good, expired, forged and refreshed; ends with codes.

import assert from 'node:assert/strict';
import { config, fresh } from '../harness/config.js';
import { EventLog } from '../harness/events.js';
import { suite } from '../harness/suite.js';
import { inSeconds, token } from '../harness/token.js';

const who = async (session, channel) => (await session.presence(channel))[session.client];

suite('connect', config(), (scenario) => {
  scenario('without a token: anonymous', async ({ party }) => {
    const session = await party.join();
    assert.match(session.client, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    const channel = session.open(fresh('open'));
    await channel.subscribe();
    assert.deepEqual(await who(session, channel.name), { user: '', client: session.client });
  });

  scenario('with a token: its user and info', async ({ party }) => {
    const user = fresh('user');
    const session = await party.join({ token: token({ sub: user, info: { name: 'Ann "Ä" <b>' } }) });
    const channel = session.open(fresh('open'));
    await channel.subscribe();
    assert.deepEqual(await who(session, channel.name), { user, client: session.client, connInfo: { name: 'Ann "Ä" <b>' } });
  });

  for (const [what, bad] of [
    ['a forged signature', () => token({ sub: 'mallory' }, 'not the secret of this server!!!')],
    ['no token at all in the token', () => 'abc.def'],
    ['a user that is a number', () => token({ sub: 42 })],
    ['a subscription token', () => token({ sub: 'mallory', channel: 'open:x' })],
    ['algorithm none', () => `${token({}).split('.').map((part, i) => (i === 0 ? Buffer.from('{"alg":"none"}').toString('base64url') : part)).slice(0, 2).join('.')}.`],
  ]) {
    scenario(`with ${what}: refused for good`, async ({ party, variant }) => {
      const session = party.session({ token: bad() });
      session.sdk.connect();
      const { reconnect, code, reason } = await session.events.next('lost');
      assert.deepEqual({ reconnect, reason }, { reconnect: false, reason: 'invalid token' });
      if (variant.generation === 'v2') assert.equal(code, 3500);
      assert.deepEqual(session.events.all('connected'), []);
    });
  }

  scenario('with an expired token: asks for another and connects', async ({ party }) => {
    const user = fresh('user');
    let asked = 0;
    const session = await party.join({
      token: token({ sub: user, exp: inSeconds(-10) }),
      getToken: async () => { asked++; return token({ sub: user, exp: inSeconds(600) }); },
    });
    assert.equal(asked, 1);
    const channel = session.open(fresh('open'));
    await channel.subscribe();
    assert.equal((await who(session, channel.name)).user, user);
  });

  scenario('refreshing with a forged token: closed for good', async ({ party, variant }) => {
    const user = fresh('user');
    const session = await party.join({
      token: token({ sub: user, exp: inSeconds(1) + 1 }),
      getToken: async () => token({ sub: user, exp: inSeconds(600) }, 'not the secret of this server!!!'),
    });
    const { reconnect, code, reason } = await session.events.next('lost');
    assert.deepEqual({ reconnect, reason }, { reconnect: false, reason: 'invalid token' });
    if (variant.generation === 'v2') assert.equal(code, 3500);
  });

  scenario('refreshing as another user: closed for good', async ({ party }) => {
    const session = await party.join({
      token: token({ sub: fresh('user'), exp: inSeconds(1) + 1 }),
      getToken: async () => token({ sub: fresh('other'), exp: inSeconds(600) }),
    });
    const { reconnect, reason } = await session.events.next('lost');
    assert.deepEqual({ reconnect, reason }, { reconnect: false, reason: 'invalid token' });
  });

  for (const { name, disconnect, want } of [
    { name: 'by default', want: { code: 3503, reason: 'force disconnect', reconnect: false } },
    { name: 'with force reconnect', disconnect: { code: 3011, reason: 'force reconnect' }, want: { code: 3011, reason: 'force reconnect', reconnect: true } },
    { name: 'with a reconnectable code of the application', disconnect: { code: 4100, reason: 'come back ü' }, want: { code: 4100, reason: 'come back ü', reconnect: true } },
    { name: 'with a terminal code of the application', disconnect: { code: 4501, reason: 'go away' }, want: { code: 4501, reason: 'go away', reconnect: false } },
  ]) {
    scenario(`disconnected by the API ${name}`, async ({ party, api, variant }) => {
      const user = fresh('user');
      const session = await party.join({ token: token({ sub: user }) });
      await api.call('disconnect', { user, ...(disconnect && { disconnect }) });
      const { code, reason, reconnect } = await session.events.next('lost');
      assert.deepEqual({ reason, reconnect }, { reason: want.reason, reconnect: want.reconnect });
      if (variant.generation === 'v2') assert.equal(code, want.code);
      if (want.reconnect) {
        const again = await session.events.next('connected');
        assert.notEqual(again.client, session.client);
      }
    });
  }

  scenario('disconnected by the API: one client of a user, or all but one', async ({ party, api }) => {
    const user = fresh('user');
    const [first, second, third] = await Promise.all([1, 2, 3].map(() => party.join({ token: token({ sub: user }) })));
    await api.call('disconnect', { user, client: first.client });
    assert.equal((await first.events.next('lost')).reconnect, false);
    await api.call('disconnect', { user, whitelist: [second.client] });
    assert.equal((await third.events.next('lost')).reconnect, false);
    // An answer proves that the second was passed over: it would have been closed before.
    await second.presence('people:none');
    assert.deepEqual(second.events.all('lost'), []);
  });

  scenario('expired by the API: comes back', async ({ party, api, variant }) => {
    const user = fresh('user');
    const session = await party.join({ token: token({ sub: user }) });
    await api.call('refresh', { user, expired: true });
    const { code, reason, reconnect } = await session.events.next('lost');
    assert.deepEqual({ reason, reconnect }, { reason: 'connection expired', reconnect: true });
    if (variant.generation === 'v2') assert.equal(code, 3005);
    await session.events.next('connected');
  });

  scenario('closed and connected again by the application', async ({ party, variant }) => {
    const wire = new EventLog(`${variant.name} wire`);
    class Watched extends variant.websocket {
      constructor(...args) {
        super(...args);
        this.once('close', () => wire.add('closed'));
      }
    }
    const session = await party.join({ websocket: Watched });
    const channel = session.open(fresh('open'));
    await channel.subscribe();
    session.close();
    await session.events.next('lost');
    await wire.next('closed'); // the 2.x SDK takes a late close for the end of its next connection
    await session.connect();
    // The 5.x SDK subscribes again by itself, the 2.x one when told.
    if (variant.generation === 'v1') channel.sub.subscribe();
    await channel.events.next('subscribed');
    await channel.publish('after');
    assert.deepEqual(await channel.payloads(1), ['after']);
  }, ['websocket']);

  scenario('an application that gives no token stays out', async ({ party, variant }) => {
    const { UnauthorizedError } = await import(variant.format === 'json' ? 'centrifuge' : 'centrifuge/build/protobuf');
    const session = party.session({ getToken: async () => { throw new UnauthorizedError('no'); } });
    session.sdk.connect();
    assert.deepEqual(await session.events.next('lost'), { reconnect: false, code: 1, reason: 'unauthorized' });
  }, ['v2']);
});

suite('connect, strict', config({
  client: {
    token: config().client.token,
    allow_anonymous_connect_without_token: false,
    disallow_anonymous_connection_tokens: true,
    expired_close_delay: '4s', // long enough for a busy machine
  },
}), (scenario) => {
  scenario('without a token: refused for good', async ({ party, variant }) => {
    const session = party.session();
    session.sdk.connect();
    const { reconnect, code } = await session.events.next('lost');
    assert.equal(reconnect, false);
    if (variant.generation === 'v2') assert.equal(code, 3501); // server.md 3.6, observed live
  });

  scenario('with a token without a user: refused for good', async ({ party, variant }) => {
    const session = party.session({ token: token({ sub: '' }) });
    session.sdk.connect();
    const { reconnect, code, reason } = await session.events.next('lost');
    assert.deepEqual({ reconnect, reason }, { reconnect: false, reason: 'permission denied' });
    if (variant.generation === 'v2') assert.equal(code, 3507);
  });

  scenario('with tokens that expire soon: refreshed again and again, the connection stays', async ({ party, api }) => {
    const user = fresh('user');
    let asked = 0;
    let refreshed;
    const thrice = new Promise((resolve) => { refreshed = resolve; });
    const make = (seconds) => token({ sub: user, exp: inSeconds(seconds) });
    const session = await party.join({
      token: make(2),
      // The SDK asks again when the server's answer to the last refresh says so: a third time proves two answers.
      getToken: async () => {
        if (++asked === 3) refreshed();
        return make(asked < 3 ? 2 : 600);
      },
    });
    const channel = session.open(fresh('open'));
    await channel.subscribe();
    await thrice;
    await api.publish(channel.name, 'still here');
    assert.deepEqual(await channel.payloads(1), ['still here']);
    assert.deepEqual(session.events.all('lost'), []);
    assert.equal((await who(session, channel.name)).user, user);
    assert.equal(session.events.all('connected').length, 1);
  });

  scenario('a connection that does not refresh is closed and may come back', async ({ party, variant }) => {
    const user = fresh('user');
    let asked = 0;
    const session = await party.join({
      token: token({ sub: user, exp: inSeconds(1) + 1 }),
      getToken: () => {
        asked++;
        // The first answer never comes: the backend hangs.
        return asked === 1 ? new Promise(() => {}) : Promise.resolve(token({ sub: user, exp: inSeconds(600) }));
      },
    });
    const { reconnect, code, reason } = await session.events.next('lost');
    assert.deepEqual({ reconnect, reason }, { reconnect: true, reason: 'connection expired' });
    if (variant.generation === 'v2') assert.equal(code, 3005);
    await session.events.next('connected');
  });
});
