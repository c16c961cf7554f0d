// Builds the page into server/internal/admin/page. The output depends only on the
// sources and the versions in package-lock.json, so that a test can compare it.
//
//   node build.js            builds
//   node build.js --check    fails if the output is not what it would build
//   node build.js --serve    serves the sources on a port, for admin.web_proxy_address

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const root = dirname(fileURLToPath(import.meta.url));
const out = join(root, '../../server/internal/admin/page');

const options = {
  absWorkingDir: root,
  entryPoints: { app: 'src/main.tsx', style: 'src/style.css' },
  outdir: out,
  bundle: true,
  format: 'esm',
  target: ['es2022'],
  minify: true,
  charset: 'utf8',
  legalComments: 'none',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  write: false,
};

/** Files below a directory, sorted, relative to the root of this package. */
async function files(directory) {
  const entries = await readdir(join(root, directory), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)).replaceAll('\\', '/'))
    .sort();
}

/** The hash of everything that the output depends on; a test in Go computes it too. */
async function hashOfSources() {
  const hash = createHash('sha256');
  for (const name of [...await files('public'), ...await files('src'), 'build.js', 'package-lock.json', 'package.json'].sort()) {
    const content = await readFile(join(root, name));
    hash.update(`${name}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/** The output: content by name. */
async function build() {
  const result = await esbuild.build(options);
  const output = new Map(result.outputFiles.map((file) => [relative(out, file.path), Buffer.from(file.contents)]));
  for (const name of await files('public')) output.set(relative('public', name), await readFile(join(root, name)));
  output.set('sources.txt', Buffer.from(`${await hashOfSources()}\n`));
  return output;
}

async function write() {
  const output = await build();
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  for (const [name, content] of output) {
    await writeFile(join(out, name), content);
    console.log(`${String(content.length).padStart(8)} ${name}`);
  }
}

async function check() {
  const output = await build();
  const stale = [];
  for (const [name, content] of output) {
    const present = await readFile(join(out, name)).catch(() => undefined);
    if (!present?.equals(content)) stale.push(name);
  }
  for (const name of await readdir(out)) if (!output.has(name)) stale.push(name);
  if (stale.length > 0) {
    console.error(`server/internal/admin/page is stale (${stale.join(', ')}): run make admin`);
    process.exit(1);
  }
  console.log('server/internal/admin/page is up to date');
}

async function serve() {
  const context = await esbuild.context({ ...options, minify: false, sourcemap: 'inline', outdir: join(root, 'public') });
  const { hosts, port } = await context.serve({ host: '127.0.0.1', servedir: join(root, 'public') });
  console.log(`serving on http://${hosts[0]}:${port}; start the server with admin.web_proxy_address set to it`);
}

const action = { undefined: write, '--check': check, '--serve': serve }[process.argv[2]];
if (!action) {
  console.error(`unknown argument ${process.argv[2]}`);
  process.exit(2);
}
await action();
