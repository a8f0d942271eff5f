// The real AT Protocol reference servers on loopback: PLC directory
// (@did-plc/server, in memory) and PDS (@atproto/pds, which is also the OAuth
// authorization server), two accounts, a DNS server for handles, and a TLS front.
// Prints ONE JSON line on stdout when everything is up; ends on SIGTERM, SIGINT,
// when a piped stdin closes, or after PEER_MAX_SECONDS.
//
//   PEER_PLC_PORT PEER_PDS_PORT PEER_DNS_PORT PEER_TLS_PORT   0/unset = any free port
//   PEER_TLS_HOST=127.0.0.2                address of the TLS front, and what A records point at
//                                          (default 127.0.0.1); with PEER_TLS_PORT=443 a client that
//                                          uses this DNS reaches it by plain https URLs
//   PEER_NO_TXT=bob.test                   handles (by commas) without a TXT record: by HTTPS only
//   PEER_ACCOUNTS=N             how many accounts there are (default and least 2): alice.test, bob.test,
//                               then person3.test, person4.test and so on
//   PEER_MODE=http|https        http (default): issuer http://localhost:PORT, dev mode
//                               https: issuer https://pds.peer.internal, no dev mode
//   PEER_APP_UPSTREAM=http://127.0.0.1:N   what https://app.peer.internal:TLS_PORT serves
//   PEER_NONCE_ROTATION_MS=1000..60000     DPoP nonce rotation (default 60000)
//   PEER_TOKEN_SECONDS=N                   access token lifetime (default 3600)
//   PEER_MAX_SECONDS=N                     life of this process (default 900)
//   PEER_LEDGER=FILE                       where every secret that passes here is noted
//   LOG_ENABLED=1 LOG_DESTINATION=FILE     the PDS's own JSON log
import dns from 'node:dns'
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import tls from 'node:tls'
import { randomBytes } from 'node:crypto'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { makeCerts } from './tls.mjs'
import { startDns } from './dns.mjs'

const t0 = performance.now()
const HOST = '127.0.0.1'
const int = (name, dflt = 0) => Number(process.env[name] || dflt)
const mode = process.env.PEER_MODE === 'https' ? 'https' : 'http'
const maxSeconds = int('PEER_MAX_SECONDS', 900)
const handles = ['alice.test', 'bob.test']
for (let n = 3; n <= int('PEER_ACCOUNTS', 2); n++) handles.push(`person${n}.test`)
const tlsHost = process.env.PEER_TLS_HOST || HOST
const noTxt = new Set((process.env.PEER_NO_TXT ?? '').split(',').map((h) => h.trim()).filter(Boolean))
const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'atproto-peer-'))
const cleanups = []
let ending = false

async function end(code) {
  if (ending) return
  ending = true
  setTimeout(() => process.exit(code), 5000).unref()
  for (const f of cleanups.reverse()) await Promise.resolve(f()).catch?.(() => {})
  fs.rmSync(tmp, { recursive: true, force: true })
  process.exit(code)
}
process.on('SIGTERM', () => end(0))
process.on('SIGINT', () => end(0))
setTimeout(() => end(0), maxSeconds * 1000)
if (!/^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(tlsHost)) {
  process.stderr.write(`PEER_TLS_HOST must be an address in 127.0.0.0/8, not ${tlsHost}\n`)
  process.exit(1)
}
for (const h of noTxt) {
  if (!handles.includes(h)) {
    process.stderr.write(`PEER_NO_TXT names ${h}; the handles are ${handles.join(', ')}\n`)
    process.exit(1)
  }
}
const stdin = fs.fstatSync(0)
if (stdin.isFIFO() || stdin.isSocket()) {
  process.stdin.resume()
  process.stdin.on('end', () => end(0))
  process.stdin.on('close', () => end(0))
}

async function freePort(wanted, host = HOST) {
  if (wanted) return wanted
  const s = net.createServer()
  await new Promise((ok, no) => s.once('error', no).listen(0, host, ok))
  const { port } = s.address()
  await new Promise((ok) => s.close(ok))
  return port
}
// Express apps of the reference servers listen on every interface: pin to loopback.
function pinToLoopback(app) {
  const listen = app.listen.bind(app)
  app.listen = (port, ...rest) => listen(port, HOST, ...rest)
}

try {
  const plcPort = await freePort(int('PEER_PLC_PORT'))
  const pdsPort = await freePort(int('PEER_PDS_PORT'))
  const tlsPort = await freePort(int('PEER_TLS_PORT'), tlsHost)

  // --- names and certificates -------------------------------------------------
  const zone = 'peer.internal' // .internal is reserved for private use
  const names = ['pds', 'plc', 'app'].map((n) => `${n}.${zone}`)
  const certs = makeCerts(tmp, [...names, `*.${zone}`, ...handles, 'localhost', ...new Set([HOST, tlsHost])])

  // In this process (so: for the PDS) *.peer.internal is loopback and our CA is trusted.
  const lookup = dns.lookup
  createRequire(import.meta.url)('node:dns').lookup = function (name, options, cb) {
    if (typeof options === 'function') [options, cb] = [{}, options]
    if (typeof name === 'string' && name.endsWith(`.${zone}`)) {
      if (options?.all) return process.nextTick(cb, null, [{ address: tlsHost, family: 4 }])
      return process.nextTick(cb, null, tlsHost, 4)
    }
    return lookup.call(dns, name, options, cb)
  }
  syncBuiltinESMExports()
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), certs.ca])

  // --- PLC ----------------------------------------------------------------------
  const plcMod = (await import('@did-plc/server')).default
  const plcServer = plcMod.PlcServer.create({ db: new plcMod.MockDatabase(), port: plcPort })
  pinToLoopback(plcServer.app)
  await plcServer.start()
  cleanups.push(() => plcServer.destroy())
  const plcUrl = `http://localhost:${plcPort}`

  // --- PDS ----------------------------------------------------------------------
  const { PDS, envToCfg, envToSecrets } = await import('@atproto/pds')
  const env = {
    port: pdsPort,
    hostname: mode === 'https' ? `pds.${zone}` : 'localhost',
    devMode: mode === 'http',
    disableSsrfProtection: true, // let it fetch client metadata from loopback
    serviceHandleDomains: ['.test'],
    serviceName: 'Peer PDS',
    didPlcUrl: plcUrl,
    inviteRequired: false,
    dataDirectory: tmp,
    blobstoreDiskLocation: path.join(tmp, 'blobs'),
    blobstoreDiskTmpLocation: path.join(tmp, 'blobs-tmp'),
    jwtSecret: randomBytes(16).toString('hex'),
    dpopSecret: randomBytes(32).toString('hex'),
    adminPassword: randomBytes(8).toString('hex'),
    plcRotationKeyK256PrivateKeyHex: randomBytes(32).toString('hex'),
    rateLimitsEnabled: false,
    crawlers: [],
  }
  const pds = await PDS.create(envToCfg(env), envToSecrets(env))
  const provider = pds.ctx.oauthProvider
  if (process.env.PEER_NONCE_ROTATION_MS) {
    const { DpopNonce } = await import('@atproto/oauth-provider/verifier')
    provider.dpopManager.dpopNonce = new DpopNonce(undefined, int('PEER_NONCE_ROTATION_MS'))
  }
  if (process.env.PEER_TOKEN_SECONDS) {
    provider.tokenManager.tokenMaxAge = int('PEER_TOKEN_SECONDS') * 1000
  }
  const note = (what, value) => {
    if (process.env.PEER_LEDGER && value) fs.appendFileSync(process.env.PEER_LEDGER, `${what}\t${value}\n`)
  }
  // Every token the PDS gives out; which of them are still good, its own database says.
  const issued = []
  const grantTokens = provider.token.bind(provider)
  provider.token = async (credentials, metadata, request, proof) => {
    const answer = await grantTokens(credentials, metadata, request, proof)
    note('peer access token', answer.access_token)
    note('signature of a peer access token', answer.access_token.split('.').at(-1))
    note('peer refresh token', answer.refresh_token)
    note('code', request.code)
    note('code verifier', request.code_verifier)
    issued.push({ client: credentials.client_id, did: answer.sub, grant: request.grant_type,
      access: answer.access_token, refresh: answer.refresh_token })
    return answer
  }
  const alive = () => pds.ctx.accountManager.db.db.selectFrom('token')
    .select(['clientId as client', 'did', 'currentRefreshToken as refresh']).execute()
  pinToLoopback(pds.app)
  await pds.start()
  cleanups.push(() => pds.destroy())
  const pdsLocal = `http://localhost:${pdsPort}`
  const pdsUrl = pds.ctx.cfg.service.publicUrl

  // --- accounts -------------------------------------------------------------------
  const accounts = []
  for (const handle of handles) {
    const password = `${handle.split('.')[0]}-${randomBytes(6).toString('hex')}`
    const res = await fetch(`${pdsLocal}/xrpc/com.atproto.server.createAccount`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ handle, password, email: `${handle.replace('.', '@')}.org` }),
    })
    const body = await res.json()
    if (!res.ok) throw new Error(`createAccount ${handle}: ${res.status} ${JSON.stringify(body)}`)
    accounts.push({ handle, did: body.did, password })
  }

  // --- DNS ------------------------------------------------------------------------
  const records = new Map([['peer.internal', {}], ['test', {}]])
  for (const n of names) records.set(n, { A: [tlsHost] })
  for (const { handle, did } of accounts) {
    records.set(handle, { A: [tlsHost] })
    if (!noTxt.has(handle)) records.set(`_atproto.${handle}`, { TXT: [[`did=${did}`]] })
  }
  const dnsServer = await startDns({ records, port: int('PEER_DNS_PORT') })
  cleanups.push(() => dnsServer.close())

  // --- faults at the front, for a soak: how many of a hundred calls to PDS and PLC meet one ---
  // The call never arrives, its answer is lost, a refusal instead of an answer, an answer that takes three seconds.
  const FAULTS = ['drop', 'lose', 500, 503, 429, 'slow']
  let faultRate = 0
  let faults = FAULTS

  // --- TLS front: https://{pds,plc,app}.peer.internal and https://{alice,bob}.test ---
  const appUpstream = process.env.PEER_APP_UPSTREAM && new URL(process.env.PEER_APP_UPSTREAM)
  const front = https.createServer({ cert: certs.cert, key: certs.key }, async (req, res) => {
    const host = (req.headers.host ?? '').split(':')[0].toLowerCase()
    const port = host === `plc.${zone}` ? plcPort
      : host === `app.${zone}` ? appUpstream?.port : pdsPort
    if (!port) return res.writeHead(502).end('no PEER_APP_UPSTREAM\n')
    const fault = host !== `app.${zone}` && Math.random() < faultRate
      ? faults[Math.floor(Math.random() * faults.length)] : 'none'
    if (fault === 'drop') return req.socket.destroy()
    if (typeof fault === 'number') {
      return res.writeHead(fault, fault === 429 ? { 'retry-after': '1' } : {}).end()
    }
    const up = http.request(
      { host: HOST, port, method: req.method, path: req.url, headers: req.headers },
      (r) => {
        if (fault === 'lose') return req.socket.destroy()
        res.writeHead(r.statusCode, r.rawHeaders)
        r.pipe(res)
      },
    )
    up.on('error', () => { if (!res.headersSent) res.writeHead(502); res.end() })
    if (fault === 'slow') await new Promise((ok) => setTimeout(ok, 3000))
    req.pipe(up)
  })
  await new Promise((ok, no) => front.once('error', no).listen(tlsPort, tlsHost, ok))
  cleanups.push(() => { front.closeAllConnections(); front.close() })

  // --- what a test may ask about tokens ---------------------------------------------
  const book = http.createServer(async (req, res) => {
    const url = new URL(req.url, 'http://book')
    if (url.pathname === '/faults') {
      faultRate = Number(url.searchParams.get('percent')) / 100
      faults = url.searchParams.has('only') ? [url.searchParams.get('only')] : FAULTS
      return res.writeHead(204).end()
    }
    try {
      const answer = JSON.stringify({ issued, alive: await alive() })
      res.writeHead(200, { 'content-type': 'application/json' }).end(answer)
    } catch (err) {
      res.writeHead(500).end(String(err?.stack ?? err))
    }
  })
  await new Promise((ok, no) => book.once('error', no).listen(0, HOST, ok))
  cleanups.push(() => { book.closeAllConnections(); book.close() })

  process.stdout.write(JSON.stringify({
    plc: plcUrl,
    pds: pdsUrl,
    accounts,
    mode,
    dns: { host: dnsServer.host, port: dnsServer.port },
    tls: { host: tlsHost, port: tlsPort, names: [...names, ...handles],
      ca: certs.caPath, cert: certs.certPath, key: certs.keyPath },
    local: { plc: plcPort, pds: pdsPort },
    tokens: `http://${HOST}:${book.address().port}/`,
    maxSeconds,
    startMs: Math.round(performance.now() - t0),
  }) + '\n')
} catch (err) {
  process.stderr.write(`${err?.stack ?? err}\n`)
  end(1)
}
