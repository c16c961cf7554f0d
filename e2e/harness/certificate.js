// A certificate for 127.0.0.1, made by openssl. For WebTransport, browsers accept one without a known authority if the
// page names its hash, and if it has an elliptic curve and is valid for two weeks at most.

import { execFile } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Resolves with {cert, key} in PEM, hash (bytes of the certificate's SHA-256), keyHash (of its public key, in base64). */
export async function makeCertificate() {
  const directory = await mkdtemp(join(tmpdir(), 'centrifugo-e2e-certificate-'));
  try {
    const paths = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') };
    await run('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '10',
      '-keyout', paths.key, '-out', paths.cert, '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1',
    ]);
    const [cert, key] = await Promise.all([readFile(paths.cert, 'utf8'), readFile(paths.key, 'utf8')]);
    const parsed = new X509Certificate(cert);
    const spki = parsed.publicKey.export({ type: 'spki', format: 'der' });
    return {
      cert, key,
      hash: [...createHash('sha256').update(parsed.raw).digest()],
      keyHash: createHash('sha256').update(spki).digest('base64'),
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
