//! The network adapter against servers on loopback: what it refuses, what it makes of answers, and what its errors say.

#![cfg(feature = "net")]

#[cfg(test)]
mod dns;
#[cfg(test)]
mod peer;

#[cfg(test)]
mod limits;
#[cfg(test)]
mod look_ups;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod trust;

#[cfg(test)]
mod calls {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Request, Response};
    use vestibule_atproto_identity::net::{Network, NetworkConfig, PrivateNetwork};
    use vestibule_oauth_core::{HttpCall, HttpClient, HttpError, HttpErrorKind, Trust};

    /// Long enough for a loaded machine; for calls that are meant to end otherwise.
    pub(crate) const AMPLE: Duration = Duration::from_secs(30);

    /// For calls that are meant to end so.
    pub(crate) const SHORT: Duration = Duration::from_millis(300);

    pub(crate) fn config() -> NetworkConfig {
        NetworkConfig::default()
    }

    /// A network that may reach loopback whoever asks.
    pub(crate) fn open() -> Network {
        Network::new(config().with_private_network(PrivateNetwork::Allowed)).unwrap()
    }

    pub(crate) fn get(url: &str, trust: Trust) -> HttpCall {
        HttpCall::new(Request::get(url).body(Bytes::new()).unwrap(), "test document", trust)
            .with_timeout(AMPLE)
    }

    pub(crate) async fn send(network: &Network, call: HttpCall) -> Result<Response<Bytes>, HttpError> {
        network.send(call).await
    }

    /// How a call that must fail does.
    pub(crate) async fn failure(network: &Network, call: HttpCall) -> HttpErrorKind {
        network.send(call).await.map(|answer| answer.status()).unwrap_err().kind()
    }
}
