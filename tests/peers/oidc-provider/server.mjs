// Another authorization server, oidc-provider, with the clients of our tests and a person who is signed in and allows everything.
//
// The clients come as one line of JSON on standard input. It says where it is by one line of JSON on standard output, and ends with its
// standard input.
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import { createInterface } from 'node:readline'
import Provider, { errors } from 'oidc-provider'

const input = createInterface({ input: process.stdin })
const { clients, resources, account } = await new Promise((heard) => input.once('line', (line) => heard(JSON.parse(line))))
input.on('close', () => process.exit(0))

const server = http.createServer()
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
const issuer = `http://127.0.0.1:${server.address().port}`

const { privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
const key = { ...(await crypto.subtle.exportKey('jwk', privateKey)), alg: 'ES256', use: 'sig', kid: 'one' }
delete key.key_ops
delete key.ext

// What it calls a client, of ours. It knows one way of authentication for each, and these grants only.
const GRANTS = ['authorization_code', 'refresh_token', 'client_credentials', 'urn:ietf:params:oauth:grant-type:device_code']
const metadata = (client) => {
  const grants = client.grants.filter((grant) => GRANTS.includes(grant))
  const code = grants.includes('authorization_code')
  return {
    client_id: client.id,
    client_name: client.name,
    client_secret: client.secret ?? undefined,
    token_endpoint_auth_method: client.method,
    ...(client.jwks && { jwks: client.jwks, token_endpoint_auth_signing_alg: 'ES256' }),
    application_type: client.redirect_uris.some((uri) => uri.startsWith('http:')) ? 'native' : 'web',
    redirect_uris: code ? client.redirect_uris : [],
    response_types: code ? ['code'] : [],
    grant_types: grants,
    scope: client.scope,
    id_token_signed_response_alg: 'ES256',
    dpop_bound_access_tokens: client.dpop_bound,
  }
}

const exempt = new Set(clients.filter((client) => client.no_pkce).map((client) => client.id))
const provider = new Provider(issuer, {
  clients: clients.map(metadata),
  jwks: { keys: [key] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  scopes: ['openid', 'offline_access', 'read', 'write', 'profile'],
  pkce: { required: (ctx, client) => !exempt.has(client.clientId) },
  rotateRefreshToken: true,
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  clientBasedCORS: () => true,
  ttl: { AuthorizationCode: 60, DeviceCode: 600, Session: 3600, Interaction: 600, Grant: 86400, RefreshToken: 86400, AccessToken: 600, ClientCredentials: 600 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => {
        if (!resources.includes(resource)) throw new errors.InvalidTarget()
        return { scope: 'read write', audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }
      },
    },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  // Everything that is asked for is allowed, at once.
  async loadExistingGrant(ctx) {
    const { client, session, params } = ctx.oidc
    const { Grant } = ctx.oidc.provider
    const before = session.grantIdFor(client.clientId)
    const grant = (before && (await Grant.find(before))) || new Grant({ clientId: client.clientId, accountId: session.accountId })
    grant.addOIDCScope(params.scope ?? '')
    for (const resource of [params.resource ?? []].flat()) grant.addResourceScope(resource, params.scope ?? '')
    await grant.save()
    return grant
  },
  renderError(ctx, out) {
    ctx.type = 'json'
    ctx.body = out
  },
})
// Who is not signed in is, from here on, and whoever is asked says yes.
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next()
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: account }, consent: {} })
  ctx.respond = false
})
server.on('request', provider.callback())
const known = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()
process.stdout.write(`${JSON.stringify(known)}\n`)
