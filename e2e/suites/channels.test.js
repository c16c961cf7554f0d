// Channels: subscribing, publishing, who is there, who comes and goes.

import assert from 'node:assert/strict';
import { config, fresh } from '../harness/config.js';
import { suite } from '../harness/suite.js';
import { inSeconds, token } from '../harness/token.js';

suite('channels', config(), (scenario) => {
  scenario('two subscribers both get what one publishes, with its info', async ({ party }) => {
    const name = fresh('open');
    const info = { name: 'Bo' };
    const [a, b] = [await party.join({ token: token({ sub: 'bo', info }) }), await party.join()];
    const [inA, inB] = [a.open(name), b.open(name)];
    await Promise.all([inA.subscribe(), inB.subscribe()]);
    await inA.publish({ n: 1 });
    await a.publish(name, { n: 2 });
    const want = [1, 2].map((n) => ({ data: { n }, offset: n, info: { user: 'bo', client: a.client, connInfo: info } }));
    assert.deepEqual(await inA.events.take('publication', 2), want);
    assert.deepEqual(await inB.events.take('publication', 2), want);
  });

  scenario('publications of the API come without info, in order', async ({ party, api }) => {
    const session = await party.join();
    const channel = session.open(fresh('plain'));
    await channel.subscribe();
    const list = Array.from({ length: 50 }, (_, n) => ({ n }));
    await api.publishAll(channel.name, list);
    assert.deepEqual(await channel.events.take('publication', 50), list.map((data) => ({ data })));
  });

  scenario('broadcast reaches each channel once', async ({ party, api }) => {
    const session = await party.join();
    const list = [1, 2, 3].map(() => session.open(fresh('plain')));
    await Promise.all(list.map((channel) => channel.subscribe()));
    await api.call('broadcast', { channels: list.map(({ name }) => name), data: 'all' });
    for (const channel of list) assert.deepEqual(await channel.payloads(1), ['all']);
  });

  scenario('a client that is not subscribed publishes and gets nothing back', async ({ party }) => {
    const [a, b] = [await party.join(), await party.join()];
    const channel = b.open(fresh('plain'));
    await channel.subscribe();
    await a.publish(channel.name, 'from outside');
    assert.deepEqual(await channel.payloads(1), ['from outside']);
  });

  scenario('presence and its numbers', async ({ party }) => {
    const name = fresh('open');
    const user = fresh('user');
    const sessions = [
      await party.join({ token: token({ sub: user, info: { tab: 1 } }) }),
      await party.join({ token: token({ sub: user, info: { tab: 2 } }) }),
      await party.join(),
    ];
    for (const session of sessions) await session.open(name).subscribe();
    const [one, two, three] = sessions;
    assert.deepEqual(await three.presence(name), {
      [one.client]: { user, client: one.client, connInfo: { tab: 1 } },
      [two.client]: { user, client: two.client, connInfo: { tab: 2 } },
      [three.client]: { user: '', client: three.client },
    });
    assert.deepEqual(await one.presenceStats(name), { numClients: 3, numUsers: 2 });
    assert.deepEqual(await one.presenceStats(fresh('open')), { numClients: 0, numUsers: 0 });
    assert.deepEqual(await one.presence(fresh('open')), {});
  });

  scenario('joins and leaves, of clients that go by word and without', async ({ party, network }) => {
    const name = fresh('people');
    const watcher = await party.join();
    const watching = watcher.open(name);
    await watching.subscribe();
    assert.equal((await watching.events.next('join')).info.client, watcher.client);

    const proxy = await network();
    const polite = await party.join({ token: token({ sub: 'polite' }) });
    const rude = await party.join({ url: proxy.websocket });
    const channel = polite.open(name);
    await channel.subscribe();
    assert.deepEqual(await watching.events.next('join'), { info: { user: 'polite', client: polite.client } });
    await rude.open(name).subscribe();
    assert.deepEqual(await watching.events.next('join'), { info: { user: '', client: rude.client } });

    channel.unsubscribe();
    assert.deepEqual(await watching.events.next('leave'), { info: { user: 'polite', client: polite.client } });
    proxy.cut();
    assert.deepEqual(await watching.events.next('leave'), { info: { user: '', client: rude.client } });
    assert.deepEqual(Object.keys(await watcher.presence(name)), [watcher.client]);
  });

  scenario('joins and leaves only for those who ask', async ({ party }) => {
    const name = fresh('open');
    const asking = (await party.join()).open(name, { joinLeave: true });
    const plain = (await party.join()).open(name);
    await asking.subscribe();
    await plain.subscribe();
    await asking.events.take('join', 2);
    plain.unsubscribe();
    await asking.events.next('leave');
    assert.deepEqual([...plain.events.all('join'), ...plain.events.all('leave')], []);
  }, ['v2']);

  for (const [what, name, code, generations] of [
    ['an unknown namespace', 'nowhere:x', 102],
    ['no permission', 'locked:x', 103],
    ['a private channel and no token', '$open:x', 103, ['v2']], // the 2.x SDK does not try without a token
    ['a name of 256 bytes', `open:${'x'.repeat(251)}`, 107],
    ['a name that is not ASCII', 'open:ключ', 107],
  ]) {
    scenario(`subscribing with ${what}: error ${code}`, async ({ party }) => {
      const session = await party.join();
      const outcome = await session.open(name).attempt();
      assert.equal(outcome.subscribed, false);
      assert.equal(outcome.code, code);
      assert.deepEqual(session.events.all('lost'), []);
    }, generations);
  }

  for (const [what, action, code] of [
    ['publishing without permission', (session) => session.publish('locked:x', 1), 103],
    ['publishing to an unknown namespace', (session) => session.publish('nowhere:x', 1), 102],
    ['presence where there is none', (session) => session.presence('plain:x'), 108],
    ['presence without permission', (session) => session.presence('locked:x'), 103],
    ['history where there is none', (session) => session.history('plain:x', { limit: 1 }), 108],
    ['rpc where there is none', (session) => session.rpc('any', {}), 108],
  ]) {
    scenario(`${what}: error ${code}, the connection stays`, async ({ party }) => {
      const session = await party.join();
      await assert.rejects(action(session), (error) => error.code === code || assert.fail(`code ${error.code} ${error.message}`));
      await session.open(fresh('open')).subscribe();
      assert.deepEqual(session.events.all('lost'), []);
    });
  }

  scenario('a private channel with a subscription token and its info', async ({ party, api, variant }) => {
    const user = fresh('user');
    const make = (channel) => token({ sub: user, channel, info: { role: 'owner' }, exp: inSeconds(600) });
    const session = await party.join({ token: token({ sub: user }), getChannelToken: make });
    const name = `$${fresh('locked')}`;
    const channel = session.open(name, variant.generation === 'v2' ? { getToken: async (ctx) => make(ctx.channel) } : {});
    await channel.subscribe();
    assert.deepEqual(await api.call('presence', { channel: name }), {
      presence: { [session.client]: { user, client: session.client, chan_info: { role: 'owner' } } },
    });
  });

  scenario('a subscription token that is forged: error 103', async ({ party, variant }) => {
    const user = fresh('user');
    const make = (channel) => token({ sub: user, channel }, 'not the secret of this server!!!');
    const session = await party.join({ token: token({ sub: user }), getChannelToken: make });
    const outcome = await session.open(`$${fresh('locked')}`, variant.generation === 'v2' ? { getToken: async (ctx) => make(ctx.channel) } : {}).attempt();
    assert.deepEqual([outcome.subscribed, outcome.code], [false, 103]);
  });

  scenario('a subscription token of another channel: closed for good', async ({ party, variant }) => {
    const user = fresh('user');
    const make = () => token({ sub: user, channel: '$locked:other' });
    const session = await party.join({ token: token({ sub: user }), getChannelToken: make });
    session.open(`$${fresh('locked')}`, variant.generation === 'v2' ? { getToken: async () => make() } : {}).sub.subscribe();
    const { reconnect, reason } = await session.events.next('lost');
    assert.deepEqual({ reconnect, reason }, { reconnect: false, reason: 'invalid token' });
  });

  scenario('an expired subscription token: asks for another and subscribes', async ({ party }) => {
    const user = fresh('user');
    const asked = [];
    const session = await party.join({ token: token({ sub: user }) });
    const channel = session.open(`$${fresh('locked')}`, {
      getToken: async (ctx) => {
        asked.push(ctx.channel);
        return token({ sub: user, channel: ctx.channel, exp: inSeconds(asked.length === 1 ? -10 : 600) });
      },
    });
    await channel.subscribe();
    assert.deepEqual(asked, [channel.name, channel.name]);
  }, ['v2']);

  scenario('subscription tokens that expire soon: refreshed again and again, it stays', async ({ party, api }) => {
    const user = fresh('user');
    let asked = 0;
    let refreshed;
    const again = new Promise((resolve) => { refreshed = resolve; });
    const session = await party.join({ token: token({ sub: user }) });
    const channel = session.open(`$${fresh('locked')}`, {
      // Asked on subscribing, then whenever the server's last answer says so: a fourth time proves two refreshes.
      getToken: async (ctx) => {
        if (++asked === 4) refreshed();
        return token({ sub: user, channel: ctx.channel, exp: inSeconds(asked < 4 ? 2 : 600) });
      },
    });
    await channel.subscribe();
    await again;
    await api.publish(channel.name, 'still here');
    assert.deepEqual(await channel.payloads(1), ['still here']);
    assert.deepEqual(channel.events.all('unsubscribed'), []);
    assert.equal(channel.events.all('subscribed').length, 1);
  }, ['v2']);

  scenario('unsubscribed by the API: stays so; subscribes again when told', async ({ party, api, variant }) => {
    const user = fresh('user');
    const session = await party.join({ token: token({ sub: user }) });
    const channel = session.open(fresh('open'));
    await channel.subscribe();
    await api.call('unsubscribe', { user, channel: channel.name });
    const outcome = await channel.events.next('unsubscribed');
    if (variant.generation === 'v2') assert.deepEqual(outcome, { code: 2000, reason: 'server unsubscribe' });
    assert.deepEqual(await session.presence(channel.name), {});
    await channel.subscribe();
    await channel.publish('again');
    assert.deepEqual(await channel.payloads(1), ['again']);
  });
});
