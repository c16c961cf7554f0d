// An emulator of AWS SQS, on a free port of the loopback interface, which it prints. SIGUSR2 makes it
// cut its connections and stop listening, or listen again; then it prints a line. Its queues stay.
import { buildApp } from 'fauxqs';

const app = buildApp({ logger: false });
await app.listen({ port: 0, host: '127.0.0.1' });
const { server } = app;
const { port } = server.address();

process.on('SIGUSR2', () => {
  if (server.listening) {
    server.close(() => console.log('stopped'));
    server.closeAllConnections();
  } else {
    server.listen(port, '127.0.0.1', () => console.log('listening'));
  }
});
setInterval(() => {}, 60_000); // without it the process ends when nothing listens
console.log(port);
