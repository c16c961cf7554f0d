// Subscriptions the server makes: by token, by API, recovered after a cut.

import assert from 'node:assert/strict';
import { config, fresh } from '../harness/config.js';
import { suite } from '../harness/suite.js';
import { token } from '../harness/token.js';

const of = (name) => (detail) => detail.channel === name;

suite('server-side subscriptions', config(), (scenario) => {
  scenario('by the token: channels', async ({ party, api }) => {
    const [one, two] = [fresh('plain'), fresh('stream')];
    const session = await party.join({ token: token({ sub: fresh('user'), channels: [one, two] }) });
    await Promise.all([one, two].map((name) => session.events.next('subscribed', of(name))));
    await api.publish(one, { n: 1 });
    await api.publish(two, { n: 2 });
    assert.deepEqual(await session.events.next('publication', of(one)), { channel: one, data: { n: 1 } });
    assert.deepEqual(await session.events.next('publication', of(two)), { channel: two, data: { n: 2 }, offset: 1 });
  });

  scenario('by the token: with info, data and overridden options', async ({ party, variant }) => {
    const name = fresh('people');
    const session = await party.join({ token: token({
      sub: 'ann', info: { a: 1 },
      subs: { [name]: { info: { b: 2 }, data: { hello: 'there' } } },
    }) });
    const detail = await session.events.next('subscribed', of(name));
    if (variant.generation === 'v2') assert.deepEqual(detail.data, { hello: 'there' });
    const want = { user: 'ann', client: session.client, connInfo: { a: 1 }, chanInfo: { b: 2 } };
    assert.deepEqual(await session.presence(name), { [session.client]: want });
    const other = await party.join();
    const channel = other.open(name);
    await channel.subscribe();
    assert.deepEqual((await session.events.next('join', (join) => join.info.client === other.client)).channel, name);
    session.close();
    assert.deepEqual(await channel.events.next('leave'), { info: want });
  });

  scenario('recovered after a cut', async ({ party, api, network }) => {
    const proxy = await network();
    const name = fresh('stream');
    const session = await party.join({ url: proxy.websocket, token: token({ sub: fresh('user'), channels: [name] }) });
    await session.events.next('subscribed', of(name));
    await api.publish(name, 1);
    await session.events.next('publication');
    proxy.cut();
    await session.events.next('lost');
    await api.publishAll(name, [2, 3]);
    proxy.allow();
    assert.equal((await session.events.next('subscribed', of(name))).recovered, true);
    assert.deepEqual((await session.events.take('publication', 2)).map((pub) => pub.data), [2, 3]);
    await api.publish(name, 4);
    assert.deepEqual((await session.events.next('publication')).data, 4);
  });

  scenario('not recovered when the history is too short', async ({ party, api, network }) => {
    const proxy = await network();
    const name = fresh('short');
    const session = await party.join({ url: proxy.websocket, token: token({ sub: fresh('user'), channels: [name] }) });
    await session.events.next('subscribed', of(name));
    proxy.cut();
    await session.events.next('lost');
    await api.publishAll(name, [1, 2, 3, 4, 5]);
    proxy.allow();
    assert.equal((await session.events.next('subscribed', of(name))).recovered, false);
    await api.publish(name, 6);
    await session.events.next('publication', (pub) => pub.data === 6);
  });

  scenario('at run time: subscribed and unsubscribed by the API', async ({ party, api }) => {
    const [user, name] = [fresh('user'), fresh('stream')];
    const session = await party.join({ token: token({ sub: user }) });
    const bystander = await party.join({ token: token({ sub: fresh('user') }) });
    await api.call('subscribe', { user, channel: name });
    await session.events.next('subscribed', of(name));
    await api.publish(name, 'in');
    assert.deepEqual(await session.events.next('publication'), { channel: name, data: 'in', offset: 1 });
    await api.call('unsubscribe', { user, channel: name });
    await session.events.next('unsubscribed', of(name));
    await api.publish(name, 'out');
    // An answer comes after all that was sent before it.
    await session.presence('people:x');
    await bystander.presence('people:x');
    assert.equal(session.events.all('publication').length, 1);
    assert.deepEqual(bystander.events.all('subscribed'), []);
  });

  scenario('at run time: asked for again after a reconnect, and granted where clients may subscribe', async ({ party, api, network }) => {
    const proxy = await network();
    const [user, name] = [fresh('user'), fresh('stream')];
    const session = await party.join({ url: proxy.websocket, token: token({ sub: user }) });
    await api.call('subscribe', { user, channel: name });
    await session.events.next('subscribed', of(name));
    proxy.cut();
    await session.events.next('lost');
    proxy.allow();
    await session.events.next('connected');
    // protocol.md 4.4: keys of ConnectRequest.subs are wanted server-side subscriptions.
    assert.equal((await session.events.next('subscribed', of(name))).recovered, true);
  }, ['v2']);

  scenario('a client may not subscribe to what the server subscribed it to', async ({ party }) => {
    const name = fresh('plain');
    const session = await party.join({ token: token({ sub: fresh('user'), channels: [name] }) });
    const outcome = await session.open(name).attempt();
    assert.deepEqual([outcome.subscribed, outcome.code], [false, 105]);
  });

  scenario('a token with a channel of an unknown namespace: no connection', async ({ party }) => {
    const session = party.session({ token: token({ sub: fresh('user'), channels: ['nowhere:x'] }) });
    session.sdk.connect();
    assert.deepEqual(await session.events.next('lost'), { reconnect: false, code: 102, reason: 'unknown channel' });
  }, ['v2']);
});

suite('personal channel', config({
  client: {
    ...config().client,
    subscribe_to_user_personal_channel: { enabled: true, personal_channel_namespace: 'stream' },
  },
}), (scenario) => {
  scenario('belongs to its user, on every connection', async ({ party, api }) => {
    const user = fresh('user');
    const name = `stream:#${user}`;
    const sessions = [await party.join({ token: token({ sub: user }) }), await party.join({ token: token({ sub: user }) })];
    const anonymous = await party.join();
    for (const session of sessions) await session.events.next('subscribed', of(name));
    await api.publish(name, 'for you');
    for (const session of sessions) assert.deepEqual((await session.events.next('publication')).data, 'for you');
    await anonymous.presence('people:x');
    assert.deepEqual(anonymous.events.all('subscribed'), []);
  });
});
