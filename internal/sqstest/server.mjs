// An emulator of AWS SQS, on a port of the loopback interface. SIGUSR2 makes it cut its connections
// and stop listening, or listen again. Then, and at the start, it prints a line. Its queues stay.
//
// usage: node server.mjs PORT
import { buildApp } from 'fauxqs';

const app = buildApp({ logger: false });
const port = Number(process.argv[2]);
await app.listen({ port, host: '127.0.0.1' });
const { server } = app;

process.on('SIGUSR2', () => {
  if (server.listening) {
    server.close(() => console.log('stopped'));
    server.closeAllConnections();
  } else {
    server.listen(port, '127.0.0.1', () => console.log('listening'));
  }
});
setInterval(() => {}, 60_000); // without it the process ends when nothing listens
console.log('listening');
