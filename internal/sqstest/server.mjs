// An emulator of AWS SQS, on a free port of the loopback interface, which it prints.
import { buildApp } from 'fauxqs';

const app = buildApp({ logger: false });
await app.listen({ port: 0, host: '127.0.0.1' });
console.log(app.server.address().port);
