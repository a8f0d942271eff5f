// oidc-provider as the provider that people sign in with, by its own pages: a login form that takes any password, then consent.
//
// It reads lines of JSON on standard input and answers each with one on standard output; it ends with its standard input.
//   {"clients": [...], "accounts": {"NAME": {claims}}}   once, at first: starts, and says {"issuer"}
//   {"rotate": true}                                     signs with a new key from here on, and publishes no other: {"kid"}
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import { createInterface } from 'node:readline'
import Provider from 'oidc-provider'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const hear = async () => {
  const { value, done } = await lines.next()
  return done ? process.exit(0) : JSON.parse(value)
}
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)

const { clients, accounts } = await hear()
const server = http.createServer()
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
const issuer = `http://127.0.0.1:${server.address().port}`
const cookies = { keys: [randomBytes(32).toString('hex')] }

const newKey = async () => {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' }
  const { privateKey } = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const { key_ops, ext, ...jwk } = await crypto.subtle.exportKey('jwk', privateKey)
  return { ...jwk, alg: 'RS256', use: 'sig', kid: randomBytes(6).toString('hex') }
}

// A provider of one key. Its grants and sessions are this process's, so another one goes on where it left off.
const start = async () => {
  const key = await newKey()
  const provider = new Provider(issuer, {
    clients: clients.map((client) => ({ application_type: 'web', grant_types: ['authorization_code'], response_types: ['code'], ...client })),
    jwks: { keys: [key] },
    cookies,
    pkce: { required: () => true },
    claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'picture'], email: ['email', 'email_verified'] },
    findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, ...accounts[id] }) }),
    features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
    ttl: { AuthorizationCode: 60, Session: 3600, Interaction: 600, Grant: 3600, AccessToken: 600, IdToken: 600 },
  })
  server.removeAllListeners('request')
  server.on('request', provider.callback())
  return key.kid
}

await start()
say({ issuer })
for (;;) {
  await hear()
  say({ kid: await start() })
}
