// A standard client, oauth4webapi, at an authorization server of which it knows the issuer and nothing else. It speaks with
// whoever started it by lines of JSON: what it needs goes to standard output, what it gets comes by standard input.
//
//   {"need": "server", "jwks": SET}              -> {"issuer": URL}   trusts SET for the client "bearer"
//   {"need": "client", "name", "args", "jwks"}   -> {"client_id", "client_secret"}
//   {"need": "browser", "url": URL}              -> {"url": URL}      where the person, who allowed it, was sent back to
//   {"need": "device", "url": URL}               -> {}                the person allowed the device there
//   {"step": NAME}                                                    has worked
//   {"done": NUMBER}                                                  all steps have
//
// A step that fails ends it with status 1, and the reason on standard error.
import { createInterface } from 'node:readline'
import { isDeepStrictEqual } from 'node:util'
import * as oauth from 'oauth4webapi'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)
async function ask(value) {
  say(value)
  const { value: line, done } = await lines.next()
  if (done) throw new Error('nobody answers any more')
  return JSON.parse(line)
}

let steps = 0
async function step(name, act) {
  try {
    const result = await act()
    steps += 1
    say({ step: name })
    return result
  } catch (error) {
    error.message = `${name}: ${error.message}`
    throw error
  }
}
function same(what, came, wanted) {
  if (!isDeepStrictEqual(came, wanted)) {
    throw new Error(`${what} is ${JSON.stringify(came)} and not ${JSON.stringify(wanted)}`)
  }
}

const insecure = { [oauth.allowInsecureRequests]: true }
const CALLBACK = 'https://client.test/cb'
const API = 'https://api.test/a'
const OTHER_API = 'https://api.test/b'
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code'
const BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'

// A key pair with a name, and the public half as a set.
async function named(kid) {
  const pair = await oauth.generateKeyPair('ES256', { extractable: true })
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey)
  return { kid, pair, jwks: { keys: [{ kty, crv, x, y, kid, alg: 'ES256', use: 'sig' }] } }
}

const own = await named('client-key')
const idp = await named('idp-key')
const { issuer } = await ask({ need: 'server', jwks: idp.jwks })

const as = await step('discovery', async () => {
  const response = await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...insecure })
  return oauth.processDiscoveryResponse(new URL(issuer), response)
})

// Registers a client, as an operator would.
async function client(name, args, authentication) {
  const jwks = authentication === 'private_key_jwt' ? own.jwks : undefined
  const { client_id, client_secret } = await ask({ need: 'client', name, args, jwks })
  const auth = {
    none: () => oauth.None(),
    client_secret_basic: () => oauth.ClientSecretBasic(client_secret),
    client_secret_post: () => oauth.ClientSecretPost(client_secret),
    private_key_jwt: () => oauth.PrivateKeyJwt({ key: own.pair.privateKey, kid: own.kid }),
  }[authentication]
  return { name, args, method: authentication, metadata: { client_id }, auth: auth(), confidential: authentication !== 'none' }
}

// Once more with the server's nonce, as RFC 9449, section 8, says.
async function retrying(send, process, dpop) {
  try {
    return await process(await send())
  } catch (error) {
    if (!dpop || !oauth.isDPoPNonceError(error)) throw error
    return process(await send())
  }
}

// A code, from the authorization request to what came back with the browser.
async function authorize(app, { pushed = false, dpop, parameters = {} } = {}) {
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const request = {
    client_id: app.metadata.client_id,
    redirect_uri: CALLBACK,
    response_type: 'code',
    scope: 'openid profile',
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...parameters,
  }
  const url = new URL(as.authorization_endpoint)
  if (pushed) {
    const { request_uri } = await retrying(
      () => oauth.pushedAuthorizationRequest(as, app.metadata, app.auth, request, { DPoP: dpop, ...insecure }),
      (response) => oauth.processPushedAuthorizationResponse(as, app.metadata, response),
      dpop,
    )
    url.search = new URLSearchParams({ client_id: app.metadata.client_id, request_uri })
  } else {
    url.search = new URLSearchParams(request)
  }
  const back = await ask({ need: 'browser', url: url.href })
  // With `iss`, which the metadata promises (RFC 9207).
  return { verifier, answer: oauth.validateAuthResponse(as, app.metadata, new URL(back.url), state) }
}

function redeem(app, { verifier, answer }, dpop) {
  return retrying(
    () => oauth.authorizationCodeGrantRequest(as, app.metadata, app.auth, answer, CALLBACK, verifier, { DPoP: dpop, ...insecure }),
    (response) => oauth.processAuthorizationCodeResponse(as, app.metadata, response),
    dpop,
  )
}

function refresh(app, token, dpop) {
  return retrying(
    () => oauth.refreshTokenGrantRequest(as, app.metadata, app.auth, token, { DPoP: dpop, ...insecure }),
    (response) => oauth.processRefreshTokenResponse(as, app.metadata, response),
    dpop,
  )
}

async function introspect(app, token) {
  const response = await oauth.introspectionRequest(as, app.metadata, app.auth, token, insecure)
  return oauth.processIntrospectionResponse(as, app.metadata, response)
}

async function revoke(app, token) {
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, app.metadata, app.auth, token, insecure))
}

// What a resource makes of an access token: the signature by the server's keys, issuer, audience, times and, with DPoP, the binding.
async function validate(token, audience, dpop) {
  const url = new URL('https://api.test/a')
  const headers = new Headers({ authorization: `Bearer ${token}` })
  if (dpop) {
    // The library makes the proof; what it would have sent is looked at here.
    let sent
    await oauth.protectedResourceRequest(token, 'GET', url, undefined, undefined, {
      DPoP: dpop,
      [oauth.customFetch]: (_, options) => {
        sent = new Headers(options.headers)
        return new Response('{}')
      },
    })
    headers.set('authorization', sent.get('authorization'))
    headers.set('dpop', sent.get('dpop'))
  }
  return oauth.validateJwtAccessToken(as, new Request(url, { headers }), audience, { requireDPoP: Boolean(dpop), ...insecure })
}

async function refused(what, error, act) {
  try {
    await act()
  } catch (cause) {
    same(what, cause.error ?? cause.message, error)
    return
  }
  throw new Error(`${what} was not refused`)
}

const methods = ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']
const registered = (method) => (method === 'none' ? ['--public'] : ['--auth-method', method])
const dpopHandle = async (app) => oauth.DPoP(app.metadata, await oauth.generateKeyPair('ES256'))

// Codes, refresh, introspection and revocation, by each method; with and without PAR, with and without DPoP.
for (const method of methods) {
  const app = await client(`code by ${method}`, ['--redirect-uri', CALLBACK, '--resource', API, ...registered(method)], method)
  for (const pushed of [false, true]) {
    for (const bound of [false, true]) {
      const name = `${method}${pushed ? ', pushed' : ''}${bound ? ', DPoP' : ''}`
      const dpop = bound ? await dpopHandle(app) : undefined
      const code = await step(`authorization request: ${name}`, () =>
        authorize(app, { pushed, dpop, parameters: { resource: API } }))
      const tokens = await step(`authorization_code: ${name}`, () => redeem(app, code, dpop))
      same('token_type', tokens.token_type, bound ? 'dpop' : 'bearer')
      const claims = await step(`at+jwt: ${name}`, () => validate(tokens.access_token, API, dpop))
      same('client_id', claims.client_id, app.metadata.client_id)
      if (!claims.sub.startsWith('did:')) throw new Error(`sub is ${claims.sub}`)
      const newer = await step(`refresh_token: ${name}`, () => refresh(app, tokens.refresh_token, dpop))
      if (newer.refresh_token === tokens.refresh_token) throw new Error('the refresh token was not rotated')
      if (app.confidential) {
        const told = await step(`introspection: ${name}`, () => introspect(app, newer.access_token))
        same('active', told.active, true)
        same('sub', told.sub, claims.sub)
      }
      await step(`revocation: ${name}`, () => revoke(app, newer.refresh_token))
      if (app.confidential) same('active', (await introspect(app, newer.access_token)).active, false)
      await refused('a revoked refresh token', 'invalid_grant', () => refresh(app, newer.refresh_token, dpop))
    }
  }
}

// A client for itself.
for (const method of methods.slice(1)) {
  const args = ['--grant', 'client_credentials', '--resource', API, ...registered(method)]
  const app = await client(`machine by ${method}`, args, method)
  for (const bound of [false, true]) {
    const name = `${method}${bound ? ', DPoP' : ''}`
    const dpop = bound ? await dpopHandle(app) : undefined
    const tokens = await step(`client_credentials: ${name}`, () =>
      retrying(
        () => oauth.clientCredentialsGrantRequest(as, app.metadata, app.auth, { resource: API }, { DPoP: dpop, ...insecure }),
        (response) => oauth.processClientCredentialsResponse(as, app.metadata, response),
        dpop,
      ))
    same('sub', (await validate(tokens.access_token, API, dpop)).sub, app.metadata.client_id)
    same('active', (await introspect(app, tokens.access_token)).active, true)
    await revoke(app, tokens.access_token)
    same('active', (await introspect(app, tokens.access_token)).active, false)
  }
}

// A device.
for (const bound of [false, true]) {
  const app = await client('a television', ['--public', '--grant', DEVICE, '--grant', 'refresh_token'], 'none')
  const name = bound ? ', DPoP' : ''
  const dpop = bound ? await dpopHandle(app) : undefined
  const begun = await step(`device authorization${name}`, () =>
    retrying(
      () => oauth.deviceAuthorizationRequest(as, app.metadata, app.auth, { scope: 'openid' }, { DPoP: dpop, ...insecure }),
      (response) => oauth.processDeviceAuthorizationResponse(as, app.metadata, response),
      dpop,
    ))
  const poll = () =>
    retrying(
      () => oauth.deviceCodeGrantRequest(as, app.metadata, app.auth, begun.device_code, { DPoP: dpop, ...insecure }),
      (response) => oauth.processDeviceCodeResponse(as, app.metadata, response),
      dpop,
    )
  await refused('before the person said anything', 'authorization_pending', poll)
  await ask({ need: 'device', url: begun.verification_uri_complete })
  await new Promise((waited) => setTimeout(waited, begun.interval * 1000))
  const tokens = await step(`device_code${name}`, poll)
  await step(`refresh_token of a device${name}`, () => refresh(app, tokens.refresh_token, dpop))
}

// A token for a token, and an assertion for a token.
const generic = (app, grant, parameters) =>
  oauth
    .genericTokenEndpointRequest(as, app.metadata, app.auth, grant, parameters, insecure)
    .then((response) => oauth.processGenericTokenEndpointResponse(as, app.metadata, response))
{
  const web = await client('web', ['--redirect-uri', CALLBACK, '--resource', API], 'client_secret_basic')
  const code = await authorize(web, { parameters: { resource: API } })
  const subject = await redeem(web, code)
  const args = ['--grant', EXCHANGE, '--serves', API, '--resource', API, '--resource', OTHER_API]
  const service = await client('service', args, 'client_secret_basic')
  const exchanged = await step('token-exchange', () =>
    generic(service, EXCHANGE, {
      subject_token: subject.access_token,
      subject_token_type: ACCESS_TOKEN,
      resource: OTHER_API,
    }))
  same('issued_token_type', exchanged.issued_token_type, ACCESS_TOKEN)
  const claims = await validate(exchanged.access_token, OTHER_API)
  same('act', claims.act, { sub: service.metadata.client_id })
}
{
  const seconds = Math.floor(Date.now() / 1000)
  const encode = (value) => Buffer.from(value).toString('base64url')
  const head = encode(JSON.stringify({ alg: 'ES256', kid: idp.kid }))
  const body = encode(JSON.stringify({ iss: 'https://idp.test', sub: 'bob', aud: issuer, iat: seconds, exp: seconds + 60, jti: crypto.randomUUID() }))
  const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, idp.pair.privateKey, Buffer.from(`${head}.${body}`))
  const assertion = `${head}.${body}.${encode(Buffer.from(signature))}`
  const app = { metadata: { client_id: 'bearer' }, auth: oauth.ClientSecretBasic('a-secret-of-the-test-0123456789abcdef') }
  const tokens = await step('jwt-bearer', () => generic(app, BEARER, { assertion }))
  same('sub', (await validate(tokens.access_token, issuer)).sub, 'bob')
}

say({ done: steps })
process.exit(0)
