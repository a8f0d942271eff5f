//! Resource indicators ([RFC 8707]): which servers a token is for.
//!
//! [RFC 8707]: https://www.rfc-editor.org/rfc/rfc8707

use url::Url;
use vestibule_oauth_core::Params;

use crate::client::Client;
use crate::denial::Denial;

/// The resources that a request names, each of which its client is registered for; none is the server's own audience.
pub(crate) fn read(params: &Params<'_>, client: &Client) -> Result<Vec<String>, Denial> {
    let mut resources: Vec<String> = Vec::new();
    for text in params.all("resource") {
        if !is_resource(text) || !client.resources.contains(text) {
            return Err(Denial::Target);
        }
        if !resources.iter().any(|known| known == text) {
            if resources.len() == MAX_RESOURCES {
                return Err(Denial::Target);
            }
            resources.push(text.to_owned());
        }
    }
    Ok(resources)
}

/// The resources of a token, out of those that were granted: the ones that are asked for, or all of them (section 2.2).
pub(crate) fn narrow(params: &Params<'_>, granted: &[String]) -> Result<Vec<String>, Denial> {
    let mut resources: Vec<String> = Vec::new();
    for text in params.all("resource") {
        if !is_resource(text) || !granted.iter().any(|known| known == text) {
            return Err(Denial::Target);
        }
        if !resources.iter().any(|known| known == text) {
            resources.push(text.to_owned());
        }
    }
    Ok(if resources.is_empty() { granted.to_vec() } else { resources })
}

/// "An absolute URI ... MUST NOT include a fragment component" (section 2).
pub(crate) fn is_resource(text: &str) -> bool {
    text.len() <= MAX_OCTETS && !text.contains('#') && Url::parse(text).is_ok()
}

/// More servers than any app calls.
const MAX_RESOURCES: usize = 16;

const MAX_OCTETS: usize = 2048;

#[cfg(test)]
mod tests {
    use vestibule_oauth_core::FormRules;

    use super::*;
    use crate::client::ClientKind;

    const RULES: FormRules = FormRules::DEFAULT.with_repeatable(&["resource"]);

    #[test]
    fn t54_a79_a_resource_is_absolute_and_granted() {
        let mut client = Client::new("c".parse().unwrap(), ClientKind::Confidential);
        client.resources =
            ["https://a.example/", "urn:b", "https://c.example/#x", "relative"].map(str::to_owned).into();
        for (query, result) in [
            ("", Ok(vec![])),
            ("resource=https%3A%2F%2Fa.example%2F", Ok(vec!["https://a.example/"])),
            (
                "resource=urn%3Ab&resource=https%3A%2F%2Fa.example%2F&resource=urn%3Ab",
                Ok(vec!["urn:b", "https://a.example/"]),
            ),
            ("resource=https%3A%2F%2Fa.example", Err(Denial::Target)),
            ("resource=https%3A%2F%2Fc.example%2F%23x", Err(Denial::Target)),
            ("resource=relative", Err(Denial::Target)),
            ("resource=urn%3Ab&resource=urn%3Aother", Err(Denial::Target)),
        ] {
            let params = Params::parse(query.as_bytes(), &RULES).unwrap();
            assert_eq!(
                read(&params, &client),
                result.map(|list| list.into_iter().map(str::to_owned).collect()),
                "{query}"
            );
        }
    }

    #[test]
    fn t54_a_token_is_for_all_that_was_granted_or_for_less() {
        let granted = ["urn:a", "urn:b"].map(str::to_owned);
        for (query, result) in [
            ("", Ok(vec!["urn:a", "urn:b"])),
            ("resource=urn%3Ab", Ok(vec!["urn:b"])),
            ("resource=urn%3Ac", Err(Denial::Target)),
        ] {
            let params = Params::parse(query.as_bytes(), &RULES).unwrap();
            assert_eq!(
                narrow(&params, &granted),
                result.map(|list| list.into_iter().map(str::to_owned).collect()),
                "{query}"
            );
        }
    }
}
