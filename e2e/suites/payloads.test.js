// Payloads: every JSON type, every awkward character, every size, between all SDKs.

import assert from 'node:assert/strict';
import { config, fresh } from '../harness/config.js';
import { Party, variants } from '../harness/sdk.js';
import { suite } from '../harness/suite.js';

const MESSAGE_LIMIT = 65_536; // websocket.message_size_limit

const values = [
  null, true, false, 0, -1, 1.5, -2.5e-10, 1.7976931348623157e308, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER,
  '', 'plain', '{}', '\n', 'one\ntwo\r\nthree\ttab', '\u0000\u0001\u001f\u007f', '"quoted" \\ / \b\f', '<b>&amp;</b>',
  '\u2028 and \u2029', 'Zażółć gęślą jaźń', '日本語', 'العربية', '👩‍👩‍👧‍👦 🇺🇳', '\ud83d\ude00', '\ufeffmark',
  [], [[]], [null, [true, [0, ['']]]], {}, { '': '' }, { a: { b: { c: [1, { d: null }] } } },
  { 'ключ\n"': 'значение', 你好: ['世界'], 'with space': ' ', push: { pub: 1 }, id: 0 },
  Array.from({ length: 1000 }, (_, i) => i), JSON.parse(`${'['.repeat(50)}1${']'.repeat(50)}`),
];

suite('payloads', config(), (scenario) => {
  scenario('every JSON type published by a client comes back the same', async ({ party }) => {
    const session = await party.join();
    const channel = session.open(fresh('plain'));
    await channel.subscribe();
    for (const value of values) await channel.publish(value);
    assert.deepEqual(await channel.payloads(values.length), values);
  });

  scenario('every JSON type published by the API arrives the same, live and from history', async ({ party, api }) => {
    const session = await party.join();
    const channel = session.open(fresh('stream'));
    await channel.subscribe();
    await api.publishAll(channel.name, values);
    assert.deepEqual(await channel.payloads(values.length), values);
    const page = await session.history(channel.name, { limit: 100 });
    assert.deepEqual(page.publications.map((pub) => pub.data), values);
  });

  scenario('a payload laid out over many lines arrives the same', async ({ party, server, api }) => {
    const value = { list: [1, 2, { deep: 'a\nb' }], text: ' spaces  kept ' };
    const session = await party.join();
    const channel = session.open(fresh('plain'));
    await channel.subscribe();
    const response = await fetch(`${server.url}/api/publish`, {
      method: 'POST',
      headers: { Authorization: `apikey ${config().http_api.key}` },
      body: JSON.stringify({ channel: channel.name, data: value }, null, '\r\n  '.slice(2)),
    });
    assert.deepEqual(await response.json(), { result: {} });
    await api.call('publish', { channel: channel.name, b64data: Buffer.from(JSON.stringify(value, null, 4)).toString('base64') });
    assert.deepEqual(await channel.payloads(2), [value, value]);
  });

  scenario('all SDKs in one channel understand each other', async ({ t, party, server, variant }) => {
    const name = fresh('stream');
    const publisher = await party.join();
    const listeners = await Promise.all(variants.map((other) => new Party(t, other, server.websocket).join()));
    const channels = listeners.map((session) => session.open(name));
    await Promise.all(channels.map((channel) => channel.subscribe()));
    for (const value of values) await publisher.publish(name, value);
    for (const channel of channels) {
      const seen = await channel.events.take('publication', values.length);
      assert.deepEqual(seen.map((pub) => pub.data), values, `${variant.name} to ${channel.session.events.name}`);
      assert.deepEqual(seen.map((pub) => pub.offset), values.map((_, i) => i + 1));
      assert.ok(seen.every((pub) => pub.info.client === publisher.client));
    }
  });

  scenario('bytes that are not JSON: whole for Protobuf, left out for JSON, whose connection goes on', async ({ party, api, variant }) => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => 255 - i);
    const session = await party.join();
    const channel = session.open(fresh('binary'));
    await channel.subscribe();
    await api.call('publish', { channel: channel.name, b64data: Buffer.from(bytes).toString('base64') });
    if (variant.format === 'protobuf') {
      assert.deepEqual(await channel.payloads(1), [bytes]);
      await channel.publish(bytes);
      assert.deepEqual(await channel.payloads(1), [bytes]);
    }
    await api.publish(channel.name, 'behind it');
    assert.deepEqual(await channel.payloads(1), ['behind it']);
    assert.deepEqual(session.events.all('lost'), []);
  });

  scenario('messages of 64 KiB and more from the server arrive whole', async ({ party, api }) => {
    const session = await party.join();
    const channel = session.open(fresh('plain'));
    await channel.subscribe();
    for (const size of [65_533, 65_534, 65_535, 65_536, 65_537, 300_000]) {
      const text = 'é'.repeat(size >> 1) + 'x'.repeat(size & 1); // size bytes of UTF-8
      await api.publish(channel.name, text);
      const [got] = await channel.payloads(1);
      assert.ok(got === text, `${size} bytes came back as ${got.length} characters`);
    }
  });

  scenario('a message of 64 KiB from a client is taken, one byte more ends the connection', async ({ party, variant }) => {
    const sent = [];
    class Measured extends variant.websocket {
      send(data, ...rest) {
        sent.push(typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength);
        return super.send(data, ...rest);
      }
    }
    const session = await party.join({ websocket: Measured });
    const observer = await party.join();
    const channel = observer.open(fresh('plain'));
    await channel.subscribe();

    // What surrounds the payload is measured, not assumed. A length of five digits takes three bytes of varint.
    const probe = 60_000;
    await session.publish(channel.name, 'x'.repeat(probe));
    const around = sent.at(-1) - probe;
    const fitting = 'y'.repeat(MESSAGE_LIMIT - around);
    await session.publish(channel.name, fitting);
    assert.equal(sent.at(-1), MESSAGE_LIMIT);
    const [, got] = await channel.payloads(2);
    assert.ok(got === fitting, 'the message of 64 KiB came back changed');

    const refused = session.publish(channel.name, `${fitting}y`).catch((error) => error);
    await session.events.next('lost');
    assert.ok(await refused instanceof Object, 'the message that was too long was answered');
    assert.ok(sent.includes(MESSAGE_LIMIT + 1));
    await observer.publish(channel.name, 'others go on');
    assert.deepEqual(await channel.payloads(1), ['others go on']);
  }, ['websocket']);
});
