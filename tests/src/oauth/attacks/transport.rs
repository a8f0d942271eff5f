//! What is wrong with a request before anybody looks at what it says.

use crate::oauth::{Ask, At, Ground};

/// A request that is right.
fn good(at: &dyn Ground) -> Ask {
    at.by("machine", At::Token).field("grant_type", "client_credentials")
}

super::attacks! {
    async fn a1_other_methods(at, seen) {
        for method in ["GET", "PUT", "HEAD"] {
            let reply = at.send(good(at).method(method)).await;
            seen.note(method, "405, allow: POST", format!("{}, allow: {}", reply.status, reply.header("allow").unwrap_or("nothing")));
        }
    }

    async fn a2_json(at, seen) {
        let json = r#"{"grant_type":"client_credentials"}"#;
        let reply = at.send(good(at).media_type("application/json").body(json)).await;
        seen.reply("a JSON body", "400 invalid_request", &reply);
    }

    async fn a3_multipart(at, seen) {
        let body = "--x\r\ncontent-disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--x--\r\n";
        let reply = at.send(good(at).media_type("multipart/form-data; boundary=x").body(body)).await;
        seen.reply("a multipart body", "400 invalid_request", &reply);
    }

    async fn a4_another_charset(at, seen) {
        for charset in ["utf-16", "iso-8859-1"] {
            let ask = good(at).media_type(&format!("application/x-www-form-urlencoded; charset={charset}"));
            seen.reply(charset, "400 invalid_request", &at.send(ask).await);
        }
    }

    async fn a5_no_media_type(at, seen) {
        seen.reply("no content-type", "400 invalid_request", &at.send(good(at).bare("content-type")).await);
    }

    async fn a6_a_body_too_large(at, seen) {
        let reply = at.send(good(at).field("x", &"y".repeat(65 * 1024))).await;
        seen.reply("65 KiB", "413 invalid_request", &reply);
    }

    async fn a7_ten_thousand_pairs(at, seen) {
        let body = format!("grant_type=client_credentials{}", "&a=b".repeat(10_000));
        let reply = at.send(good(at).body(body)).await;
        seen.reply("10,000 pairs", "400 invalid_request", &reply);
    }

    async fn a8_broken_escapes(at, seen) {
        for escape in ["%zz", "%", "%4", "a%2"] {
            let body = format!("grant_type=client_credentials&x={escape}");
            seen.reply(escape, "400 invalid_request", &at.send(good(at).body(body)).await);
        }
    }

    async fn a9_broken_utf8(at, seen) {
        for (what, escape) in [("overlong", "%C0%AF"), ("a lone surrogate", "%ED%A0%80"), ("a lone octet", "%FF")] {
            let body = format!("grant_type=client_credentials&x={escape}");
            seen.reply(what, "400 invalid_request", &at.send(good(at).body(body)).await);
        }
    }

    async fn a10_control_characters(at, seen) {
        for (what, escape) in [("NUL", "%00"), ("CRLF", "a%0D%0AX-Evil:%201")] {
            for name in ["x", "scope", "client_id"] {
                let body = format!("grant_type=client_credentials&{name}={escape}");
                let reply = at.send(good(at).body(body)).await;
                seen.reply(&format!("{what} in {name}"), "400 invalid_request", &reply);
                seen.note("and no header field more", "none", reply.header("x-evil").unwrap_or("none"));
            }
        }
    }

    async fn a11_a_secret_in_the_url(at, seen) {
        let ask = Ask::post(at.url(At::Token)).field("grant_type", "client_credentials").field("client_id", "machine");
        let query = format!("client_id=machine&client_secret={}", crate::oauth::roster::secret("machine"));
        seen.reply("the secret in the query", "400 invalid_request", &at.send(ask.query(&query)).await);
        let ask = good(at).query("grant_type=password&scope=admin");
        seen.reply("other parameters in the query", "200", &at.send(ask).await);
    }

    async fn a12_a_parameter_twice(at, seen) {
        for (name, value) in [("grant_type", "client_credentials"), ("code", "x"), ("client_id", "machine"), ("scope", "read")] {
            let ask = good(at).without(name).field(name, value).field(name, value);
            seen.reply(name, "400 invalid_request", &at.send(ask).await);
        }
        let ask = good(at).field("resource", crate::oauth::roster::API).field("resource", crate::oauth::roster::API_B);
        seen.reply("resource, which may be", "200", &at.send(ask).await);
    }

    async fn a13_names_of_other_languages(at, seen) {
        let ask = good(at).without("grant_type").field("grant_type[]", "client_credentials").field("__proto__", "1");
        seen.reply("grant_type[] and __proto__", "400 invalid_request", &at.send(ask).await);
    }

    async fn a14_an_empty_grant_type(at, seen) {
        seen.reply("empty", "400 invalid_request", &at.send(good(at).with("grant_type", "")).await);
    }

    async fn a15_two_grant_types_in_one(at, seen) {
        let ask = good(at).with("grant_type", "authorization_code refresh_token");
        seen.reply("with a space between", "400 unsupported_grant_type", &at.send(ask).await);
    }

    async fn a16_a_grant_type_spelt_otherwise(at, seen) {
        for grant_type in [" client_credentials", "client_credentials ", "Client_Credentials", "CLIENT_CREDENTIALS"] {
            let reply = at.send(good(at).with("grant_type", grant_type)).await;
            seen.reply(&format!("{grant_type:?}"), "400 unsupported_grant_type", &reply);
        }
    }

    async fn a17_unknown_parameters(at, seen) {
        let ask = good(at).fields(&[("data", "None"), ("acr_values", "1"), ("foo", "bar"), ("empty", "")]);
        seen.reply("four of them", "200", &at.send(ask).await);
    }
}
