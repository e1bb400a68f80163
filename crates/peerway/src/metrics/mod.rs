//! `/metrics`: what Prometheus reads from a daemon, on loopback unless told otherwise (decision 0029).
//!
//! ```text
//!   agent::Observer ──┐
//!                     ├─ collect ─▶ Page ─ text ─▶ GET /metrics
//!   server::Observer ─┘                catalogue: every name, once
//! ```
//!
//! Nobody proves who he is here, so the page has numbers and ids, and nothing of what anybody said: no addresses, names, tags or keys.

pub mod catalogue;
mod collect;
mod page;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::server::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use page::Page;

/// Where `up` and `server` are read, and where `agent` is: both may run on one machine.
pub const PORT: u16 = 9477;
pub const AGENT_PORT: u16 = 9478;
const CONNECTIONS_MAX: usize = 16;
/// A client that does not finish its head in this time is cut off.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
const CONTENT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where an operator wants metrics to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Off,
    At(SocketAddr),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        match text {
            "off" => Ok(Place::Off),
            text => text
                .parse()
                .map(Place::At)
                .map_err(|_| format!("`{text}` is neither an address and port, such as 127.0.0.1:{PORT}, nor `off`")),
        }
    }
}

/// Takes the port. One that nobody asked for may be taken by another daemon: then there are no metrics, and no line about them at the
/// start; the log says why.
///
/// # Errors
/// A port that was asked for is taken, or the address is not this machine's.
pub fn bind(place: Option<Place>, default_port: u16) -> anyhow::Result<Option<TcpListener>> {
    match place {
        Some(Place::Off) => Ok(None),
        Some(Place::At(address)) => TcpListener::bind(address).map(Some).with_context(|| {
            format!(
                "cannot serve metrics on {address}; another program may have it, or it is not this machine's: choose another with --metrics"
            )
        }),
        None => match TcpListener::bind((IpAddr::from([127, 0, 0, 1]), default_port)) {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                tracing::info!(%error, port = default_port, "no metrics: another program has the port; choose another with --metrics");
                Ok(None)
            }
        },
    }
}

/// Whose numbers a daemon shows.
#[derive(Clone, Default)]
pub struct Sources {
    pub server: Option<server::Observer>,
    pub agents: Vec<agent::Observer>,
}

impl Sources {
    fn text(&self) -> String {
        let mut page = Page::default();
        page.add(&catalogue::INFO, &[env!("CARGO_PKG_VERSION")], 1);
        self.agents.iter().for_each(|agent| collect::host(&mut page, &agent.status()));
        if let Some(server) = &self.server {
            collect::control(&mut page, &server.readings());
        }
        page.text()
    }
}

/// Answers scrapes until it is stopped.
pub struct Endpoint {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Endpoint {
    /// Serves on a socket that is bound and listens; inside a runtime.
    ///
    /// # Errors
    /// The kernel's.
    pub fn serve(listener: TcpListener, sources: Sources) -> anyhow::Result<Endpoint> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        // One scrape at a time: reading many interfaces takes locks that packets need.
        let sources = Arc::new(Mutex::new(sources));
        Ok(Endpoint { address, task: tokio::spawn(accept(listener, sources)) })
    }

    /// What a daemon says of it when it starts.
    pub fn line(&self) -> String {
        format!("metrics http://{}/metrics\n", self.address)
    }

    pub fn stop(self) {
        self.task.abort();
    }
}

async fn accept(listener: tokio::net::TcpListener, sources: Arc<Mutex<Sources>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((connection, _)) = listener.accept().await else {
            // Out of descriptors, most likely: some will be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let sources = sources.clone();
        let service = hyper::service::service_fn(move |request| {
            let sources = sources.clone();
            async move { Ok::<_, Infallible>(respond(sources, &request).await) }
        });
        tokio::spawn(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(READ_TIMEOUT);
            // Who goes away early has heard enough.
            let _ = http.serve_connection(TokioIo::new(connection), service).await;
            drop(place);
        });
    }
}

async fn respond(sources: Arc<Mutex<Sources>>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let header = |name| request.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    if !header(HOST).is_some_and(server::is_fixed_name) || header(ORIGIN).is_some() {
        let why = "metrics are for who asks by address or as localhost, and for no web page\n";
        return response(StatusCode::FORBIDDEN, why.into());
    }
    if request.uri().path() != "/metrics" {
        return response(StatusCode::NOT_FOUND, "metrics are at /metrics\n".into());
    }
    if request.method() != Method::GET {
        return response(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".into());
    }
    // It waits for locks, and for a thread that knows the links.
    let read = move || sources.lock().unwrap_or_else(PoisonError::into_inner).text();
    match tokio::task::spawn_blocking(read).await {
        Ok(text) => response(StatusCode::OK, text),
        Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, "reading the counters ended in a panic\n".into()),
    }
}

fn response(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_addresses_or_off() {
        assert_eq!("off".parse(), Ok(Place::Off));
        assert_eq!("127.0.0.1:1".parse(), Ok(Place::At(([127, 0, 0, 1], 1).into())));
        assert!("9477".parse::<Place>().unwrap_err().contains("127.0.0.1:9477"));
    }

    #[test]
    fn a_port_that_was_asked_for_must_be_free_and_another_may_be_missed() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert!(bind(Some(Place::At(address)), 0).unwrap_err().to_string().contains("--metrics"));
        assert!(bind(None, address.port()).unwrap().is_none());
        assert!(bind(Some(Place::Off), 0).unwrap().is_none());
        assert!(bind(None, 0).unwrap().is_some());
    }
}
