//! The AT Protocol login over a scripted network: what goes over the wire when all is well, and what becomes of the request
//! phase when a server does something else at any step.

mod scripted_world;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use vestibule_oauth_core::{HttpErrorKind, Trust, TxtError};
use vestibule_strategy::{FailureKind, Phase};
use vestibule_tests::{ScriptedNetwork, redirect, text};

use scripted_world::{
    ACCESS_LIFE, ALICE, BOB, Browser, Client, DOCUMENT, HANDLE, ISSUER, KEEPINGS, Keeping, METADATA,
    NO_ANSWER, PAR, PDS, RESOURCE, SCOPE, TOKEN, TXT, WELL_KNOWN, World, document, html, lock, ok, parts,
    resource_metadata, server_metadata, wants_nonce, with_nonce,
};

// When all is well.

#[test]
fn a_login_by_handle_asks_these_and_leaves_a_session() {
    for client in [Client::Loopback, Client::Web] {
        for keeping in KEEPINGS {
            let world = World::new(client, keeping);
            let auth = world.login(HANDLE);
            let lines = [
                format!("TXT {TXT}"),
                format!("GET {DOCUMENT}"),
                format!("GET {RESOURCE}"),
                format!("GET {METADATA}"),
                format!("POST {PAR}"),
                format!("POST {PAR}"),
                format!("POST {TOKEN}"),
            ];
            assert_eq!(world.net.log(), lines, "{client:?} {keeping:?}");
            assert_eq!(auth.uid, ALICE);
            assert_eq!(auth.account(), ("atproto", auth.uid.as_str()), "a DID moves from server to server");
            assert_eq!(auth.extra.raw["issuer"], ISSUER);
            assert_eq!(auth.info.nickname.as_deref(), Some(HANDLE));
            assert_eq!(auth.credentials.scopes.to_string(), SCOPE);
            assert!(auth.credentials.token.is_none(), "tokens stay in the session");
            assert!(auth.is_valid());

            let session = world.store.only_session();
            assert_eq!(vestibule_atproto_identity::login::session_of(&auth), Some(session.key.clone()));
            assert_eq!(session.pds.as_str(), PDS, "R80: from the DID document, not the issuer");
            assert_eq!(session.issuer, ISSUER);
            assert_eq!(session.access_token.expose(), "at-3");
            assert_eq!(session.refresh_token.unwrap().expose(), "rt-3");
            assert_eq!(session.expires_at, Some(world.now().after(ACCESS_LIFE)));
            assert_eq!(session.generation, 0);
            assert_eq!(
                session.client_key.map(|key| key.kid),
                match client {
                    Client::Loopback => None,
                    Client::Web => Some("new".to_owned()),
                }
            );
            assert!(lock(&world.store.flows).is_empty(), "the flow is over");
        }
    }
}

#[test]
fn r59_r60_the_push_holds_what_it_must_and_nothing_else() {
    for (client, more) in
        [(Client::Loopback, &[][..]), (Client::Web, &["client_assertion_type", "client_assertion"])]
    {
        let world = World::new(client, Keeping::Store);
        world.login(HANDLE);
        let [refused, accepted] = &world.net.calls_to("POST", PAR)[..] else { panic!("R92: two tries") };
        let names: Vec<_> = accepted.fields().into_iter().map(|(name, _)| name).collect();
        let mut expected = vec![
            "response_type",
            "code_challenge",
            "code_challenge_method",
            "state",
            "redirect_uri",
            "scope",
            "login_hint",
            "client_id",
        ];
        expected.extend(more);
        assert_eq!(names, expected, "{client:?}");
        assert_eq!(accepted.field("login_hint").as_deref(), Some(HANDLE), "R64");
        assert_eq!(accepted.trust, Trust::UserSupplied, "R58");
        for same in ["state", "code_challenge"] {
            assert_eq!(refused.field(same), accepted.field(same), "the same request is sent again");
        }
        let (_, first) = parts(refused.header("dpop").unwrap());
        let (_, second) = parts(accepted.header("dpop").unwrap());
        assert_eq!((first.get("nonce"), &second["nonce"]), (None, &json!("nonce-1")), "R92");
        assert_ne!(first["jti"], second["jti"], "R90");
        assert_ne!(refused.field("client_assertion").unwrap_or_default(), {
            let assertion = accepted.field("client_assertion");
            assertion.unwrap_or_else(|| "none, and none before".to_owned())
        });
    }
}

#[test]
fn r75_the_exchange_holds_what_it_must_and_nothing_else() {
    for (client, more) in
        [(Client::Loopback, &[][..]), (Client::Web, &["client_assertion_type", "client_assertion"])]
    {
        let world = World::new(client, Keeping::Store);
        world.login(HANDLE);
        let [exchange] = &world.net.calls_to("POST", TOKEN)[..] else {
            panic!("one try: the nonce is known")
        };
        let names: Vec<_> = exchange.fields().into_iter().map(|(name, _)| name).collect();
        let mut expected = vec!["grant_type", "code", "redirect_uri", "code_verifier", "client_id"];
        expected.extend(more);
        assert_eq!(names, expected, "{client:?}");
        assert_eq!(exchange.trust, Trust::UserSupplied, "R58");
    }
}

#[test]
fn r58_only_the_directory_is_of_the_operators_choice() {
    let world = World::web();
    world.net.txt_records(TXT, &[]);
    world.login(HANDLE);
    for call in world.net.calls() {
        assert_eq!(call.trust == Trust::Configured, call.url == DOCUMENT, "{}", call.url);
    }
}

#[test]
fn r92_a_nonce_that_changed_during_consent_costs_one_more_try() {
    let world = World::web();
    let mut browser = Browser::default();
    let to = world.begin(&mut browser, HANDLE).unwrap();
    let callback = world.consent(&to);
    world.server().rotate_nonce();
    world.finish(&mut browser, &callback).outcome.unwrap();
    assert_eq!(world.net.count("POST", TOKEN), 2);
}

#[test]
fn r68_the_authorization_endpoint_keeps_its_query() {
    let world = World::web();
    let mut metadata = server_metadata(ISSUER, PDS);
    metadata["authorization_endpoint"] = json!("https://as.example.com/oauth/authorize?tenant=7");
    world.net.answer("GET", METADATA, ok(&metadata));
    let to = world.begin(&mut Browser::default(), HANDLE).unwrap();
    let names: Vec<_> = to.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["tenant", "client_id", "request_uri"]);
}

#[test]
fn r26_a_login_may_start_from_a_did_and_from_an_untidy_handle() {
    for (typed, hint) in [(ALICE, ALICE), ("@Alice.Example.com ", HANDLE), ("at://alice.example.com", HANDLE)]
    {
        let world = World::web();
        assert_eq!(world.login(typed).uid, ALICE);
        assert_eq!(world.net.calls_to("POST", PAR)[0].field("login_hint").as_deref(), Some(hint), "{typed}");
    }
}

#[test]
fn r79_less_may_be_granted_than_was_asked() {
    let world = World::web();
    world.server().edit = Some(|answer| answer["scope"] = json!("atproto"));
    let auth = world.login(HANDLE);
    assert_eq!(auth.credentials.scopes.to_string(), "atproto");
    assert_eq!(world.store.only_session().scope.to_string(), "atproto");
}

// The request phase, when a server does something else.

/// A login by handle is refused with this code and status, nothing is pushed that should not be, and nothing is kept.
fn refused(row: &str, world: &World, code: &str, status: u16) -> FailureKind {
    let failure = world.refusal(HANDLE);
    assert_eq!((failure.kind().code(), failure.kind().status().as_u16()), (code, status), "{row}: {failure}");
    assert_eq!(failure.phase(), Phase::Request, "{row}");
    assert!(!failure.for_person().is_empty(), "{row}");
    world.shows_no_secret(row, &format!("{failure} {failure:?} {}", failure.for_person()));
    assert!(world.store.is_empty(), "{row}: something was kept");
    assert_eq!(world.net.count("POST", TOKEN), 0, "{row}");
    failure.kind().clone()
}

#[test]
fn a_handle_that_leads_nowhere_is_the_persons_to_correct() {
    type Setup = fn(&ScriptedNetwork);
    let no_txt: [(&str, Setup); 4] = [
        ("no TXT record", |net| {
            net.txt_records(TXT, &[]);
        }),
        ("another's TXT record", |net| {
            net.txt_records(TXT, &["v=spf1 -all"]);
        }),
        ("a TXT record of no DID", |net| {
            net.txt_records(TXT, &["did=alice"]);
        }),
        ("the name server fails", |net| {
            net.txt_result(TXT, Err(TxtError::Failed("SERVFAIL".to_owned())));
        }),
    ];
    let well_known: [(&str, Setup); 11] = [
        ("unknown host", |net| {
            net.fail("GET", WELL_KNOWN, HttpErrorKind::UnknownHost);
        }),
        ("nothing listening", |net| {
            net.fail("GET", WELL_KNOWN, HttpErrorKind::Connect);
        }),
        ("private address", |net| {
            net.fail("GET", WELL_KNOWN, HttpErrorKind::Blocked);
        }),
        ("answer lost", |net| {
            net.fail("GET", WELL_KNOWN, HttpErrorKind::AnswerLost);
        }),
        ("too large", |net| {
            net.answer("GET", WELL_KNOWN, text(200, &"d".repeat(5000)));
        }),
        ("404", |net| {
            net.answer("GET", WELL_KNOWN, text(404, ""));
        }),
        ("500", |net| {
            net.answer("GET", WELL_KNOWN, text(500, ALICE));
        }),
        ("a web page", |net| {
            net.answer("GET", WELL_KNOWN, html(200));
        }),
        ("nothing", |net| {
            net.answer("GET", WELL_KNOWN, text(200, " \n"));
        }),
        ("a redirect to http", |net| {
            net.answer("GET", WELL_KNOWN, redirect(302, "http://alice.example.com/did"));
        }),
        ("a redirect to itself", |net| {
            net.answer("GET", WELL_KNOWN, redirect(302, WELL_KNOWN));
        }),
    ];
    for (how, no_txt) in no_txt {
        for (why, no_document) in well_known {
            let world = World::web();
            no_txt(&world.net);
            no_document(&world.net);
            refused(&format!("{how}, {why}"), &world, "invalid_handle", 400);
            assert_eq!(world.net.count("GET", DOCUMENT), 0);
        }
        // The other way still works.
        let world = World::web();
        no_txt(&world.net);
        assert_eq!(world.login(HANDLE).uid, ALICE, "{how}");
    }
}

#[test]
fn a_handle_that_takes_too_long_is_a_timeout() {
    let world = World::web();
    world.net.txt_result(TXT, Err(TxtError::Timeout)).fail("GET", WELL_KNOWN, HttpErrorKind::UnknownHost);
    refused("TXT", &world, "transport", 504);
    for kind in [HttpErrorKind::ConnectTimeout, HttpErrorKind::AnswerTimeout] {
        let world = World::web();
        world.net.txt_records(TXT, &[]).fail("GET", WELL_KNOWN, kind);
        refused("well-known", &world, "transport", 504);
    }
    let world = World::web();
    world.net.txt_result(TXT, Err(TxtError::Timeout));
    assert_eq!(world.login(HANDLE).uid, ALICE, "the other way still works");
}

#[test]
fn r33_two_dids_in_txt_refuse() {
    let world = World::web();
    let (alice, bob) = (format!("did={ALICE}"), format!("did={BOB}"));
    world.net.txt_records(TXT, &[&alice, &bob]);
    refused("two DIDs", &world, "invalid_handle", 400);
    assert_eq!(world.net.log(), [format!("TXT {TXT}")], "HTTPS is not asked to decide");
    let world = World::web();
    world.net.txt_records(TXT, &[&alice, &alice]);
    world.login(HANDLE);
}

#[test]
fn r36_a_handles_host_may_redirect_a_few_times() {
    let world = World::web();
    let next = "https://www.alice.example.com/did";
    world.net.txt_records(TXT, &[]).answer("GET", WELL_KNOWN, redirect(302, next));
    world.net.answer("GET", next, text(200, ALICE));
    assert_eq!(world.login(HANDLE).uid, ALICE);
    assert_eq!(
        world.net.calls_to("GET", next)[0].trust,
        Trust::UserSupplied,
        "R36: each hop under the same rules"
    );
}

#[test]
fn what_is_typed_must_be_a_name() {
    for (typed, code) in [
        ("", "missing_handle"),
        ("  ", "missing_handle"),
        ("@", "missing_handle"),
        ("alice", "invalid_handle"),
        ("alice@example.com", "invalid_handle"),
        ("alice.local", "invalid_handle"),
        ("http://10.0.0.1", "invalid_handle"),
        ("did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF", "invalid_handle"),
        ("alice.example.com/../..", "invalid_handle"),
    ] {
        let world = World::web();
        let failure = world.refusal(typed);
        assert_eq!((failure.kind().code(), failure.kind().status().as_u16()), (code, 400), "{typed:?}");
        assert_eq!(world.net.log(), [""; 0], "{typed:?}");
    }
}

/// Answers to a GET that are no document, whatever document was asked for.
fn no_documents() -> [(&'static str, Response<Bytes>); 8] {
    let empty = ok(&Value::Null).map(|_| Bytes::new());
    [
        ("404", text(404, "")),
        ("500", vestibule_tests::json(500, &json!({"error": "oops"}))),
        ("a redirect", redirect(302, "https://elsewhere.example.com/")),
        ("a web page", html(200)),
        ("nothing", empty),
        ("half a document", ok(&json!({})).map(|_| Bytes::from(r#"{"id": "#))),
        ("a list", ok(&json!([]))),
        ("an empty document", ok(&json!({}))),
    ]
}

/// Step by step: who does not answer, and what is no answer.
#[test]
fn documents_that_cannot_be_had_are_the_servers_doing() {
    for (step, bad) in [
        (DOCUMENT, "bad_response"),
        (RESOURCE, "authorization_server_metadata_failed"),
        (METADATA, "authorization_server_metadata_failed"),
    ] {
        for (kind, status) in NO_ANSWER {
            let world = World::web();
            world.net.fail("GET", step, kind);
            refused(&format!("{step} {kind:?}"), &world, "transport", status);
            assert_eq!(world.net.count("POST", PAR), 0);
        }
        for (row, answer) in no_documents() {
            let world = World::web();
            world.net.answer("GET", step, answer);
            refused(&format!("{step} {row}"), &world, bad, 502);
            assert_eq!(world.net.count("POST", PAR), 0);
            assert_eq!(world.net.count("GET", "https://elsewhere.example.com/"), 0, "R48, R52: not followed");
        }
    }
}

#[test]
fn r48_r52_metadata_must_say_that_it_is_json() {
    for (step, document) in
        [(RESOURCE, resource_metadata(PDS, &[ISSUER])), (METADATA, server_metadata(ISSUER, PDS))]
    {
        for content_type in ["text/plain", "text/html", "application/octet-stream"] {
            let world = World::web();
            let mut answer = ok(&document);
            answer.headers_mut().insert("content-type", content_type.parse().unwrap());
            world.net.answer("GET", step, answer);
            refused(content_type, &world, "authorization_server_metadata_failed", 502);
        }
        let world = World::web();
        world.net.answer("GET", step, vestibule_tests::json(203, &document));
        refused("exactly 200", &world, "authorization_server_metadata_failed", 502);
        let world = World::web();
        world.net.answer("GET", step, ok(&json!("x".repeat(70_000))));
        refused("70 kB", &world, "authorization_server_metadata_failed", 502);
    }
}

#[test]
fn r40_r46_r47_documents_of_somebody_else_are_refused() {
    let good = document(ALICE, HANDLE, PDS);
    let with = |change: fn(&mut Value)| {
        let mut document = good.clone();
        change(&mut document);
        document
    };
    for (row, document, code, status) in [
        ("another id", with(|d| d["id"] = json!(BOB)), "bad_response", 502),
        ("no service", with(|d| d["service"] = json!([])), "bad_response", 502),
        (
            "a PDS over http",
            with(|d| d["service"][0]["serviceEndpoint"] = json!("http://pds.example.com")),
            "bad_response",
            502,
        ),
        (
            "a PDS with a path",
            with(|d| d["service"][0]["serviceEndpoint"] = json!("https://pds.example.com/x")),
            "bad_response",
            502,
        ),
        ("a PDS of another type", with(|d| d["service"][0]["type"] = json!("Other")), "bad_response", 502),
        ("no handle", with(|d| d["alsoKnownAs"] = json!([])), "invalid_handle", 400),
        (
            "another handle",
            with(|d| d["alsoKnownAs"] = json!(["at://bob.example.com"])),
            "invalid_handle",
            400,
        ),
        (
            "another handle first",
            with(|d| d["alsoKnownAs"] = json!(["at://bob.example.com", "at://alice.example.com"])),
            "invalid_handle",
            400,
        ),
    ] {
        let world = World::web();
        world.net.answer("GET", DOCUMENT, ok(&document));
        refused(row, &world, code, status);
        assert_eq!(world.net.count("GET", RESOURCE), 0, "{row}");
    }
}

#[test]
fn r49_r50_a_pds_names_itself_and_one_issuer() {
    for (row, document) in [
        ("another resource", resource_metadata("https://bob.example.com", &[ISSUER])),
        ("a resource with a slash", resource_metadata("https://pds.example.com/", &[ISSUER])),
        ("two issuers", resource_metadata(PDS, &[ISSUER, "https://as2.example.com"])),
        ("one issuer twice", resource_metadata(PDS, &[ISSUER, ISSUER])),
        ("no issuer", resource_metadata(PDS, &[])),
        ("an issuer with a path", resource_metadata(PDS, &["https://as.example.com/tenant"])),
        ("an issuer over http", resource_metadata(PDS, &["http://as.example.com"])),
        ("an issuer with a query", resource_metadata(PDS, &["https://as.example.com?x"])),
    ] {
        let world = World::web();
        world.net.answer("GET", RESOURCE, ok(&document));
        refused(row, &world, "authorization_server_metadata_failed", 502);
        assert_eq!(world.net.count("GET", METADATA), 0, "{row}");
    }
}

#[test]
fn r53_to_r56_an_authorization_server_is_what_the_protocol_asks_for() {
    let good = server_metadata(ISSUER, PDS);
    let mut rows: Vec<(String, Value)> = Vec::new();
    for required in [
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "pushed_authorization_request_endpoint",
        "response_types_supported",
        "grant_types_supported",
        "code_challenge_methods_supported",
        "token_endpoint_auth_methods_supported",
        "token_endpoint_auth_signing_alg_values_supported",
        "dpop_signing_alg_values_supported",
        "scopes_supported",
        "authorization_response_iss_parameter_supported",
        "require_pushed_authorization_requests",
        "client_id_metadata_document_supported",
    ] {
        let mut document = good.clone();
        document.as_object_mut().unwrap().remove(required).unwrap();
        rows.push((format!("without {required}"), document));
    }
    for (member, value) in [
        ("issuer", json!("https://evil.example.com")),
        ("issuer", json!("https://as.example.com/")),
        ("authorization_endpoint", json!("http://as.example.com/oauth/authorize")),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("token_endpoint", json!("http://as.example.com/oauth/token")),
        ("pushed_authorization_request_endpoint", json!("/oauth/par")),
        ("response_types_supported", json!(["token"])),
        ("grant_types_supported", json!(["authorization_code"])),
        ("code_challenge_methods_supported", json!(["plain"])),
        ("token_endpoint_auth_methods_supported", json!(["none"])),
        ("token_endpoint_auth_methods_supported", json!(["private_key_jwt"])),
        ("token_endpoint_auth_signing_alg_values_supported", json!(["ES256", "none"])),
        ("dpop_signing_alg_values_supported", json!(["RS256"])),
        ("scopes_supported", json!(["openid"])),
        ("authorization_response_iss_parameter_supported", json!(false)),
        ("require_pushed_authorization_requests", json!(false)),
        ("client_id_metadata_document_supported", json!(false)),
        ("require_request_uri_registration", json!(false)),
        ("protected_resources", json!([])),
        ("protected_resources", json!(["https://bob.example.com"])),
    ] {
        let mut document = good.clone();
        document[member] = value;
        rows.push((format!("{member} {}", document[member]), document));
    }
    for (row, document) in rows {
        let world = World::web();
        world.net.answer("GET", METADATA, ok(&document));
        refused(&row, &world, "authorization_server_metadata_failed", 502);
        assert_eq!(world.net.count("POST", PAR), 0, "{row}");
    }
}

/// A POST that nobody answers, at each of its two tries.
#[test]
fn a_push_without_answer_is_transport() {
    for (kind, status) in NO_ANSWER.into_iter().chain([(HttpErrorKind::TooLarge, 502)]) {
        let world = World::web();
        world.net.fail("POST", PAR, kind);
        refused(&format!("{kind:?}"), &world, "transport", status);
        assert_eq!(world.net.count("POST", PAR), 1, "{kind:?}");

        let world = World::web();
        world.net.queue("POST", PAR, wants_nonce("n")).fail("POST", PAR, kind);
        refused(&format!("second try {kind:?}"), &world, "transport", status);
        assert_eq!(world.net.count("POST", PAR), 2, "{kind:?}");
    }
}

#[test]
fn a_push_that_is_refused_or_not_answered_as_one() {
    let pushed = |request_uri: &str| json!({"request_uri": request_uri, "expires_in": 300});
    let refused_push = "authorization_url_failed";
    for (row, answer, code) in [
        ("invalid_scope", vestibule_tests::json(400, &json!({"error": "invalid_scope"})), refused_push),
        ("401", vestibule_tests::json(401, &json!({"error": "invalid_client"})), refused_push),
        ("429", text(429, ""), refused_push),
        ("500", text(500, ""), refused_push),
        ("500 with a good body", vestibule_tests::json(500, &pushed("urn:a")), refused_push),
        ("a redirect", redirect(307, "https://elsewhere.example.com/"), refused_push),
        ("204", text(204, ""), refused_push),
        ("a web page", html(200), "bad_response"),
        ("a web page, created", html(201), "bad_response"),
        ("no request_uri", vestibule_tests::json(201, &json!({"expires_in": 300})), "bad_response"),
        ("an empty request_uri", vestibule_tests::json(201, &pushed("")), "bad_response"),
        ("a long request_uri", vestibule_tests::json(201, &pushed(&"u".repeat(513))), "bad_response"),
        ("no expires_in", vestibule_tests::json(201, &json!({"request_uri": "urn:a"})), "bad_response"),
        ("a list", vestibule_tests::json(201, &json!([])), "bad_response"),
    ] {
        let world = World::web();
        world.net.answer("POST", PAR, with_nonce(answer, "n"));
        refused(row, &world, code, 502);
        assert_eq!(world.net.count("POST", PAR), 1, "{row}");
        assert_eq!(world.net.count("POST", "https://elsewhere.example.com/"), 0, "{row}");
    }
}

#[test]
fn the_reason_of_a_refused_push_is_kept() {
    let world = World::web();
    let answer = json!({"error": "invalid_scope", "error_description": "no <b>such</b> scope"});
    world.net.answer("POST", PAR, with_nonce(vestibule_tests::json(400, &answer), "n"));
    let kind = refused("invalid_scope", &world, "authorization_url_failed", 502);
    let FailureKind::AuthorizationUrlFailed { status: 400, error: Some(code) } = kind else {
        panic!("{kind:?}")
    };
    assert_eq!(code.as_str(), "invalid_scope");
}

#[test]
fn r92_a_server_that_always_wants_another_nonce_is_asked_twice() {
    let world = World::web();
    let mut count = 0;
    world.net.on("POST", PAR, move |_| {
        count += 1;
        Ok(wants_nonce(&format!("another-{count}")))
    });
    refused("forever", &world, "authorization_url_failed", 502);
    assert_eq!(world.net.count("POST", PAR), 2);

    // A wish for a nonce that comes without one is a refusal like any other.
    let world = World::web();
    world.net.answer("POST", PAR, vestibule_tests::json(400, &json!({"error": "use_dpop_nonce"})));
    refused("no nonce", &world, "authorization_url_failed", 502);
    assert_eq!(world.net.count("POST", PAR), 1);
}

#[test]
fn r93_a_server_that_does_not_answer_a_proof_with_a_nonce_is_refused() {
    let world = World::web();
    let answer = json!({"request_uri": "urn:a", "expires_in": 300});
    world.net.answer("POST", PAR, vestibule_tests::json(201, &answer));
    refused("no nonce", &world, "dpop_nonce_missing", 502);

    // A server that is known gives one with every answer all the same.
    let world = World::web();
    world.login(HANDLE);
    world.net.answer("POST", PAR, vestibule_tests::json(201, &answer));
    assert_eq!(world.refusal(HANDLE).kind(), &FailureKind::DpopNonceMissing);
}

#[test]
fn a_store_that_is_away_begins_nothing() {
    let world = World::web();
    world.store.breaks("put");
    refused("put", &world, "temporarily_unavailable", 503);
}
