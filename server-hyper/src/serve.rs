//! Listening, answering, draining, stopping.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Request};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use vestibule_server_hyper::{App, ClientAddress};

/// How long a request's head may take to arrive, and an idle connection may stay.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// The most connections at once: at some 14 KB each, 140 MB.
const MAX_CONNECTIONS: usize = 10_000;

/// How long requests under way may take to end once the server is told to stop: longer than a callback whose every call to
/// another server takes all the time it has.
const DRAIN: Duration = Duration::from_secs(45);

/// How often expired rows are thrown away.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How often it is looked whether another process has changed the keys in the store.
const LOOK_AT_KEYS_EVERY: Duration = Duration::from_secs(5);

/// Serves `app` until SIGTERM or SIGINT, then lets what is under way come to its end.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    address_header: Option<HeaderName>,
) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    announce(listener.local_addr()?)?;
    let looking_after = tokio::spawn(look_after(Arc::clone(&app)));

    let connections = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(64 * 1024);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: those in use come back.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(limit = MAX_CONNECTIONS, "too many connections, one was closed");
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let (app, header) = (Arc::clone(&app), address_header.clone());
        let service = service_fn(move |mut request| {
            if let Some(address) = client_address(&request, header.as_ref(), peer.ip()) {
                request.extensions_mut().insert(ClientAddress(address));
            }
            Arc::clone(&app).handle(request)
        });
        let connection = connections.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
    drop(listener);
    tracing::info!("stopping: no new connections, those under way may end");
    let ended = async {
        connections.shutdown().await;
        // Answers that nobody waits for any more: tokens that were asked for have to be stored, or given back.
        app.at_rest().await;
    };
    if tokio::time::timeout(DRAIN, ended).await.is_err() {
        tracing::warn!("some requests were still under way after {} seconds", DRAIN.as_secs());
    }
    looking_after.abort();
    Ok(())
}

/// Who asks: what the proxy says in the header that the operator named, else the other end of the connection. A connection
/// from this machine is a proxy's, and tells nobody apart.
fn client_address<B>(request: &Request<B>, header: Option<&HeaderName>, peer: IpAddr) -> Option<IpAddr> {
    match header {
        Some(name) => {
            let value = request.headers().get_all(name).iter().next_back();
            let named = value.and_then(|value| value.to_str().ok()?.rsplit(',').next());
            // Some proxies add a port. One that says nothing is counted as one that asks.
            let named = named.map(str::trim).and_then(|text| {
                text.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
            });
            Some(named.unwrap_or(peer))
        }
        None if peer.is_loopback() => None,
        None => Some(peer),
    }
}

/// The one line on standard output.
fn announce(address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{address}")?;
    out.flush()
}

async fn look_after(app: Arc<App>) {
    let mut sweeps = tokio::time::interval(SWEEP_EVERY);
    let mut looks = tokio::time::interval(LOOK_AT_KEYS_EVERY);
    loop {
        tokio::select! {
            _ = sweeps.tick() => app.sweep().await,
            _ = looks.tick() => app.take_up_keys().await,
        }
    }
}
